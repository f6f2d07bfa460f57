/**
 * Goal: whatever kind of qcow2 image there is, QEMU and we read what the other wrote.
 * Method: every cell of versions × cluster sizes × refcount widths × what is in the image. QEMU
 * makes the image and we read it; we write and QEMU compares; QEMU writes and we read; we make such
 * an image and QEMU reads it. `qemu-img check` is clean after each step.
 * @long
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { using } from '../../lab/block/disk.js';
import { random } from '../../lab/block/random.js';
import { scratch } from '../../lab/files.js';
import { qemuCheck, qemuImg, qemuIo, run } from '../../lab/peers/qemu.js';
import {
  type CreateImageOptions,
  checkImage,
  createQcow2,
  type LockedNode,
} from '../../src/block/index.js';
import { peerTest } from '../_peers.js';

const SIZE = 4 * 2 ** 20;
const KINDS = ['fresh', 'preallocated', 'snapshot', 'overlay', 'compressed', 'zeroed'] as const;
type Kind = (typeof KINDS)[number];

interface Cell {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  readonly refcountBits: number;
  readonly kind: Kind;
}

const CELLS: Cell[] = [];
for (const [version, widths] of [
  [2, [16]],
  [3, [1, 8, 16, 64]],
] as const) {
  for (const clusterBits of [9, 12, 16, 21]) {
    for (const refcountBits of widths) {
      for (const kind of KINDS) CELLS.push({ version, clusterBits, refcountBits, kind });
    }
  }
}

/** An image that QEMU made, and what its disk holds. */
interface Made {
  readonly path: string;
  readonly disk: Uint8Array;
  /** What the snapshot holds, if there is one. */
  readonly snapshot?: Uint8Array;
}

const optionsOf = ({ version, clusterBits, refcountBits }: Cell): string =>
  [
    `compat=${version === 2 ? '0.10' : '1.1'}`,
    `cluster_size=${2 ** clusterBits}`,
    ...(version === 2 ? [] : [`refcount_bits=${refcountBits}`]),
  ].join(',');

/** A disk with runs of bytes in it and much that is zero. */
function pattern(seed: number): Uint8Array {
  const next = random(seed);
  const disk = new Uint8Array(SIZE);
  for (let i = 0; i < 12; i += 1) {
    const at = next(SIZE);
    disk.fill(1 + next(255), at, at + 1 + next(200_000));
  }
  return disk;
}

function make(folder: string, cell: Cell, seed: number): Made {
  const path = join(folder, 'image.qcow2');
  const raw = join(folder, 'base.raw');
  const base = pattern(seed);
  writeFileSync(raw, base);
  const options = optionsOf(cell);
  const create = (...more: string[]): string =>
    qemuImg('create', '-q', '-f', 'qcow2', '-o', [options, ...more].join(','), path, String(SIZE));
  switch (cell.kind) {
    case 'fresh':
      create();
      return { path, disk: new Uint8Array(SIZE) };
    case 'preallocated':
      create('preallocation=metadata');
      return { path, disk: new Uint8Array(SIZE) };
    case 'snapshot':
      qemuImg('convert', '-O', 'qcow2', '-f', 'raw', '-o', options, raw, path);
      qemuImg('snapshot', '-c', 's1', path);
      return { path, disk: base.slice(), snapshot: base };
    case 'overlay': {
      const below = cell.clusterBits === 12 ? 'qcow2' : 'raw';
      if (below === 'qcow2') {
        qemuImg('convert', '-f', 'raw', '-O', 'qcow2', raw, join(folder, 'base.qcow2'));
      }
      create(`backing_file=base.${below}`, `backing_fmt=${below}`);
      return { path, disk: base };
    }
    case 'compressed': {
      const zstd = cell.version === 3 && cell.refcountBits >= 16;
      const how = zstd ? `${options},compression_type=zstd` : options;
      qemuImg('convert', '-c', '-O', 'qcow2', '-f', 'raw', '-o', how, raw, path);
      return { path, disk: base };
    }
    case 'zeroed': {
      qemuImg('convert', '-O', 'qcow2', '-f', 'raw', '-o', options, raw, path);
      qemuIo(path, 'write -z 64k 512k', 'write -z -u 2M 1M', 'write -z 1000k 3k');
      base.fill(0, 64 * 1024, 576 * 1024);
      base.fill(0, 2 * 2 ** 20, 3 * 2 ** 20);
      base.fill(0, 1000 * 1024, 1003 * 1024);
      return { path, disk: base };
    }
  }
}

function same(t: ExecutionContext, actual: Uint8Array, expected: Uint8Array, what: string): void {
  t.is(Buffer.compare(actual, expected), 0, what);
}

/** Random writes of ours, onto the image and onto what the disk is to hold. */
function scribble(image: LockedNode, disk: Uint8Array, seed: number): void {
  const next = random(seed);
  for (let i = 0; i < 40; i += 1) {
    const at = next(SIZE);
    const length = Math.min(SIZE - at, 1 + next(i % 5 === 0 ? 300_000 : 5000));
    const bytes = new Uint8Array(length).fill(1 + next(255));
    image.write(at, bytes);
    disk.set(bytes, at);
    if (i % 9 === 0) image.flush();
  }
}

const READING = { readOnly: true, backing: () => true };
const WRITING = { backing: () => true };

const readAll = (path: string): Uint8Array => using(path, image => image.read(0, SIZE), READING);

function agrees(t: ExecutionContext, path: string, disk: Uint8Array, what: string): void {
  const raw = `${path}.expected`;
  writeFileSync(raw, disk);
  t.regex(qemuImg('compare', '-f', 'qcow2', '-F', 'raw', path, raw), /identical/, what);
  t.is(qemuCheck(path), 0, `${what}: qemu-img check`);
  const found = using(path, checkImage, READING);
  t.like(found, { corruptions: 0, leaks: 0, checkErrors: 0 }, `${what}: our check`);
}

function theirsThenOurs(t: ExecutionContext, cell: Cell, seed: number): void {
  const folder = scratch(t);
  const { path, disk, snapshot } = make(folder, cell, seed);
  same(t, readAll(path), disk, 'what QEMU made, we read');

  using(
    path,
    image => {
      scribble(image, disk, seed + 1);
      same(t, image.read(0, SIZE), disk, 'what we wrote, we read');
    },
    WRITING,
  );
  agrees(t, path, disk, 'what we wrote, QEMU reads');

  if (snapshot !== undefined) {
    const old = join(folder, 'old.raw');
    qemuImg('convert', '-l', 's1', '-O', 'raw', path, old);
    same(t, readFileSync(old), snapshot, 'the snapshot is as it was');
  }

  qemuIo(path, 'write -P 0xa5 100k 300k', 'write -P 0x5a 3000k 700', 'write -P 1 0 512');
  disk.fill(0xa5, 100 * 1024, 400 * 1024);
  disk.fill(0x5a, 3000 * 1024, 3000 * 1024 + 700);
  disk.fill(1, 0, 512);
  same(t, readAll(path), disk, 'what QEMU wrote over it, we read');
  t.is(qemuCheck(path), 0);
}

function oursThenTheirs(t: ExecutionContext, cell: Cell, seed: number): void {
  const folder = scratch(t);
  const path = join(folder, 'ours.qcow2');
  const disk = cell.kind === 'overlay' ? pattern(seed) : new Uint8Array(SIZE);
  if (cell.kind === 'overlay') writeFileSync(join(folder, 'base.raw'), disk);
  const { version, clusterBits, refcountBits, kind } = cell;
  const options: CreateImageOptions = { size: SIZE, version, clusterBits, refcountBits };
  createQcow2(path, {
    ...options,
    ...(kind === 'preallocated' ? { preallocation: 'metadata' } : {}),
    ...(kind === 'overlay' ? { backing: { name: 'base.raw', format: 'raw' } } : {}),
  });
  agrees(t, path, disk, 'what we made, QEMU reads');
  using(path, image => scribble(image, disk, seed + 2), WRITING);
  agrees(t, path, disk, 'what we made and wrote, QEMU reads');
}

for (const [i, cell] of CELLS.entries()) {
  const { version, clusterBits, refcountBits, kind } = cell;
  const title = `v${version}, ${2 ** clusterBits} bytes, ${refcountBits} bits, ${kind}`;
  peerTest(title, ['qemu-img', 'qemu-io'], t => {
    if (kind === 'snapshot' && refcountBits === 1) {
      // A refcount of one bit cannot count a second reference: QEMU makes no such image.
      const path = join(scratch(t), 'no.qcow2');
      qemuImg('create', '-q', '-f', 'qcow2', '-o', optionsOf(cell), path, '4M');
      qemuIo(path, 'write 0 64k');
      t.not(run('qemu-img', 'snapshot', '-c', 's1', path).status, 0);
      return;
    }
    theirsThenOurs(t, cell, 100 + i);
    oursThenTheirs(t, cell, 300 + i);
  });
}
