/**
 * A life of an image with a power cut in it: random writes, flushes, zeroes and resizes on a disk
 * that tears and reorders what was not flushed, a cut at a random step, and what is found after.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type BlockNode,
  checkImage,
  formatQcow2,
  ImageError,
  imageInfo,
  type LockedNode,
  openQcow2,
  writeZeroes,
} from '../../src/block/index.js';
import { PowerCut, SimulatedDisk } from '../../src/testing/index.js';
import { qemuImg } from '../peers/qemu.js';
import { MemoryNode } from './memory.js';
import { type Random, random } from './random.js';
import { sameBytes } from './same-bytes.js';

export const DISK_BYTES = 2 ** 20;
const PAGE_BYTES = 4096;
/** With 512-byte clusters and 64-bit refcounts, one cluster of refcount table describes 2 MiB. */
const FULL_BYTES = 1900 * 2 ** 10;

/** An image to start from: its bytes, and what its disk holds. */
export interface Template {
  readonly name: string;
  readonly image: Uint8Array;
  readonly disk: Uint8Array;
  /** What lies below an overlay. */
  readonly backing?: Uint8Array;
}

/** Empty images of ours, for where there is no QEMU to make others. */
export function ownTemplates(): Template[] {
  const kinds = [
    { version: 3, clusterBits: 9, refcountBits: 16 },
    { version: 3, clusterBits: 9, refcountBits: 64 },
    { version: 3, clusterBits: 12, refcountBits: 1 },
    { version: 2, clusterBits: 10, refcountBits: 16 },
    { version: 3, clusterBits: 16, refcountBits: 16 },
  ] as const;
  return kinds.map(kind => {
    const file = new MemoryNode();
    formatQcow2(file, { size: DISK_BYTES, ...kind });
    const name = `v${kind.version}, ${2 ** kind.clusterBits} bytes, ${kind.refcountBits} bits`;
    return { name, image: file.view.slice(), disk: new Uint8Array(DISK_BYTES) };
  });
}

/** Images that only QEMU makes: with a snapshot, compressed, preallocated, on top of another. */
export function qemuTemplates(folder: string): Template[] {
  const disk = new Uint8Array(DISK_BYTES);
  const next = random(4711);
  for (let i = 0; i < 8; i += 1) {
    const at = next(DISK_BYTES);
    disk.fill(1 + next(255), at, at + 1 + next(150_000));
  }
  const raw = join(folder, 'base.raw');
  writeFileSync(raw, disk);
  const templates: Template[] = [];
  for (const options of [
    'cluster_size=512,refcount_bits=16',
    'cluster_size=4096,refcount_bits=64',
    'cluster_size=65536,refcount_bits=8',
    'cluster_size=1024,compat=0.10',
  ]) {
    const path = join(folder, 'template.qcow2');
    const add = (kind: string, rest: Pick<Template, 'disk' | 'backing'>): void => {
      templates.push({ name: `${kind}, ${options}`, image: readFileSync(path), ...rest });
    };
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-o', options, raw, path);
    qemuImg('snapshot', '-c', 's1', path);
    add('snapshot', { disk });
    qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', options, raw, path);
    add('compressed', { disk });
    const create = ['create', '-q', '-f', 'qcow2', '-o'];
    qemuImg(...create, `${options},preallocation=metadata`, path, '1M');
    add('preallocated', { disk: new Uint8Array(DISK_BYTES) });
    qemuImg(...create, `${options},backing_file=${raw},backing_fmt=raw`, path, '1M');
    add('overlay', { disk, backing: disk });
  }
  // A file so full that copies of a snapshot's clusters need a bigger refcount table.
  const full = new Uint8Array(FULL_BYTES).fill(0xf1);
  writeFileSync(raw, full);
  const path = join(folder, 'full.qcow2');
  const options = 'cluster_size=512,refcount_bits=64';
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-o', options, raw, path);
  qemuImg('snapshot', '-c', 's1', path);
  templates.push({ name: `full, snapshot, ${options}`, image: readFileSync(path), disk: full });
  return templates;
}

/** A change of the guest's bytes that was not flushed yet. */
interface Pending {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export interface Outcome {
  /** What is wrong, in words; nothing is good. */
  readonly faults: readonly string[];
  readonly leaks: number;
  readonly cut: boolean;
  /** The image after the cut. */
  readonly wreckage: Uint8Array;
}

/** One life. The same seed gives the same life. */
export function liveAndDie(template: Template, seed: number, Disk = SimulatedDisk): Outcome {
  const next = random(seed);
  const disk = new Disk(template.image);
  const backing = template.backing && new MemoryNode(new Uint8Array(template.backing), true);
  const durable = { bytes: template.disk.slice() };
  const pending: Pending[] = [];
  let cut = false;
  try {
    // Now and then a cache so small that it has to write in the middle of things.
    const cacheBytes = next(3) === 0 ? 1 : 2 ** 20;
    const node = openQcow2(disk, { backing, cacheBytes }).lock();
    disk.cutPowerAfter(next(next(4) === 0 ? 400 : 60));
    for (let i = 0; i < 60; i += 1) act(node, next, durable, pending);
  } catch (error) {
    if (!(error instanceof PowerCut)) throw error;
    cut = true;
  }
  const wreckage = disk.wreckage(next);
  const { faults, leaks } = examine(wreckage, backing, durable.bytes, pending);
  return { faults, leaks, cut, wreckage };
}

function act(
  disk: LockedNode,
  next: Random,
  durable: { bytes: Uint8Array },
  pending: Pending[],
): void {
  const size = disk.length;
  const at = next(size);
  const length = Math.min(size - at, 1 + next(next(6) === 0 ? 40_000 : 2000));
  switch (next(12)) {
    case 0:
    case 1:
    case 2:
      disk.flush();
      for (const each of pending) durable.bytes.set(each.bytes, each.at);
      pending.length = 0;
      break;
    case 3:
      // Counted before it happens: a cut can come while it does.
      pending.push({ at, bytes: new Uint8Array(length) });
      writeZeroes(disk, at, length);
      break;
    case 4:
      if (imageInfo(disk).version === 3 && next(3) === 0) {
        const grown = new Uint8Array(size + (1 + next(64)) * 4096);
        grown.set(durable.bytes);
        durable.bytes = grown;
        disk.truncate(grown.length);
      }
      break;
    default: {
      const bytes = new Uint8Array(length).fill(1 + next(255));
      pending.push({ at, bytes });
      disk.write(at, bytes);
    }
  }
}

/** Checks what is left, reads it, and goes on with it. */
function examine(
  wreckage: Uint8Array,
  backing: BlockNode | undefined,
  durable: Uint8Array,
  pending: readonly Pending[],
): { faults: string[]; leaks: number } {
  const faults: string[] = [];
  const file = new MemoryNode(new Uint8Array(wreckage));
  const node = openQcow2(file, { backing }).lock();
  const { corruptions, checkErrors, leaks, problems } = checkImage(node);
  if (corruptions + checkErrors > 0) faults.push(`the check says: ${problems.join('; ')}`);

  // A resize that was cut may not have happened.
  const found = node.read(0, node.length);
  for (let at = 0; at < found.length && faults.length < 3; at += 1) {
    if (at % PAGE_BYTES === 0 && sameBytes(found, durable, at, at + PAGE_BYTES)) {
      at += PAGE_BYTES - 1;
      continue;
    }
    if (found[at] === durable[at]) continue;
    const explained = pending.some(
      each =>
        at >= each.at && at < each.at + each.bytes.length && each.bytes[at - each.at] === found[at],
    );
    if (!explained) faults.push(`byte ${at} is ${found[at]}, flushed was ${durable[at]}`);
  }

  try {
    node.write(0, new Uint8Array(3000).fill(7));
    node.write(found.length - 5000, new Uint8Array(5000).fill(8));
    node.flush();
    const after = checkImage(node);
    if (after.corruptions > 0) faults.push(`after going on: ${after.problems.join('; ')}`);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    faults.push(`going on: ${error.message}`);
  }
  return { faults, leaks };
}
