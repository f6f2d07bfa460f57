/**
 * Goal: after any write, flush or truncation of the file that fails, a node goes on soundly or is broken,
 * and so does another process with the same image: no corruption, no image that is falsely marked
 * corrupt, no byte that was not written there. Method: every kind of operation, each of its steps made to
 * fail in every way, more operations after it; 5,000 random lives with scripts/failing-writes-qcow2.ts.
 * @long
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { usingNode } from '../../lab/block/disk.js';
import {
  allocate,
  countSteps,
  erase,
  flush,
  grow,
  Life,
  live,
  type Operation,
  type Script,
  scattered,
  tag,
  write,
  zero,
} from '../../lab/block/failing-writes.js';
import { MemoryNode } from '../../lab/block/memory.js';
import { Model } from '../../lab/block/model.js';
import type { Template } from '../../lab/block/power-cut.js';
import { random } from '../../lab/block/random.js';
import { scratch } from '../../lab/files.js';
import { qemuCheck, qemuImg, run } from '../../lab/peers/qemu.js';
import { checkImage, formatQcow2, openQcow2, withLock } from '../../src/block/index.js';
import { MetadataCache } from '../../src/block/qcow2/cache.js';
import { PowerCut, SimulatedDisk } from '../../src/testing/index.js';
import { peerTest } from '../_peers.js';

const KIB = 2 ** 10;

interface Kind {
  readonly name: string;
  readonly template: Template;
  readonly operations: readonly Operation[];
}

/** An image of ours: 512-byte clusters, so that every table is small, and what was done to it. */
function made(
  size: number,
  options: Partial<Parameters<typeof formatQcow2>[1]>,
  ...operations: readonly Operation[]
): Template {
  const file = new MemoryNode();
  formatQcow2(file, { size, clusterBits: 9, refcountBits: 64, ...options });
  const model = new Model(new Uint8Array(size));
  const disk = usingNode(openQcow2(file), held => {
    for (const operation of operations) operation(held, model);
    return held.read(0, held.length);
  });
  return { name: 'made', image: file.view.slice(), disk };
}

const backing = new Uint8Array(64 * KIB).fill(0xb0);
const overlay = (size: number): Template => {
  const file = new MemoryNode();
  formatQcow2(file, { size, clusterBits: 9, backing: { name: 'base', format: 'raw' } });
  return { name: 'overlay', image: file.view.slice(), disk: backing.slice(0, size), backing };
};

const BIGGER_TABLE = 'a bigger refcount table';
// A refcount block of 512 bytes describes 64 clusters; a table of one cluster, 64 blocks: 2 MiB.
const small = made(64 * KIB, {}, write(0, 4000, 1));
// biome-ignore format: table
const OURS: readonly Kind[] = [
  { name: 'a write in place',              template: small, operations: [write(100, 3000, 2)] },
  { name: 'a new cluster',                 template: small, operations: [write(10_000, 100, 2)] },
  { name: 'new clusters, filled',          template: small, operations: [write(3900, 6000, 2)] },
  { name: 'a new L2 table',                template: small, operations: [write(40_000, 600, 2)] },
  { name: 'a new refcount block',          template: small, operations: [write(3900, 40_000, 2)] },
  { name: 'several new refcount blocks',   template: made(256 * KIB, {}), operations: [write(3900, 150_000, 2)] },
  { name: BIGGER_TABLE,                    template: made(2100 * KIB, {}, write(0, 1850 * KIB, 1)), operations: [write(1850 * KIB, 80 * KIB, 2)] },
  { name: 'copy on write of an overlay',   template: overlay(64 * KIB), operations: [write(5000, 700, 2)] },
  { name: 'zeros over an overlay',         template: overlay(64 * KIB), operations: [zero(5000, 3000)] },
  { name: 'growing an overlay',            template: overlay(33 * KIB), operations: [grow(60 * KIB)] },
  { name: 'zeros over data',               template: small, operations: [zero(100, 3000)] },
  { name: 'zeros over data, version 2',    template: made(64 * KIB, { version: 2, refcountBits: 16 }, write(0, 4000, 1)), operations: [zero(100, 3000)] },
  { name: 'a write into reserved zeros',   template: made(64 * KIB, {}, write(0, 4000, 1), zero(0, 4000)), operations: [write(300, 2000, 2)] },
  { name: 'a write into plain zeros',      template: made(64 * KIB, {}, write(0, 100, 1), zero(0, 4096), zero(8192, 4096)), operations: [write(8200, 2000, 2)] },
  { name: 'an area is allocated',          template: made(64 * KIB, {}, write(0, 3000, 1), zero(0, 1000)), operations: [allocate(20_000)] },
  { name: 'the area of an overlay',        template: overlay(64 * KIB), operations: [allocate(20_000)] },
  { name: 'growing within the L1 table',   template: made(33 * KIB, {}), operations: [grow(64 * KIB)] },
  { name: 'growing the L1 table',          template: made(64 * KIB, {}, write(0, 60_000, 1)), operations: [grow(4096 * KIB)] },
  { name: 'a tag',                         template: small, operations: [tag] },
  { name: 'writes all over the disk',      template: made(256 * KIB, {}), operations: scattered(256 * KIB, 2) },
  { name: 'writes all over an overlay',    template: overlay(64 * KIB), operations: scattered(64 * KIB, 2) },
  { name: 'free clusters erased',          template: small, operations: [erase] },
];

/** Images that only QEMU makes. */
function theirs(folder: string): Kind[] {
  const path = join(folder, 'theirs.qcow2');
  const raw = join(folder, 'raw');
  const disk = new Uint8Array(64 * KIB);
  disk.fill(1, 0, 30_000);
  writeFileSync(raw, disk);
  const kinds: Kind[] = [];
  const add = (name: string, ...operations: readonly Operation[]): void => {
    const image = new Uint8Array(readFileSync(path));
    kinds.push({ name, template: { name, image, disk }, operations });
  };
  const convert = (...options: string[]): void =>
    void qemuImg('convert', '-f', 'raw', '-O', 'qcow2', ...options, raw, path);
  const half = 'cluster_size=512,refcount_bits=64';
  convert('-o', half);
  qemuImg('snapshot', '-c', 's', path);
  add('copy on write of a snapshot', write(5000, 700, 2));
  add('copy on write of many clusters', write(100, 29_000, 2));
  add('writes all over a snapshot', ...scattered(64 * KIB, 2));
  add('zeros over a snapshot', zero(5000, 3000));
  add('the area of a snapshot', allocate(10_000));
  convert('-c', '-o', 'cluster_size=4096');
  add('copy on write of a compressed cluster', write(5000, 700, 2));
  add('zeros over a compressed cluster', zero(4096, 4096));
  add('the area of compressed clusters', allocate(20_000));
  convert('-o', half);
  qemuImg('bitmap', '--add', '-f', 'qcow2', path, 'b');
  add('bitmaps are given up', write(0, 100, 2));
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on,cluster_size=512', path, '64k');
  const commands = ['write -P 1 0 30000', 'flush', 'abort'].flatMap(each => ['-c', each]);
  run('qemu-io', '-f', 'qcow2', ...commands, path);
  add('the repair of a dirty image', write(5000, 700, 2));
  return kinds;
}

const EFFECTS = {
  write: [
    { kind: 'error', errno: 'EIO' },
    { kind: 'short', bytes: 512, errno: 'ENOSPC' },
    { kind: 'short', bytes: 1536, errno: 'ENOSPC' },
  ],
  flush: [{ kind: 'error', errno: 'EIO' }],
  truncate: [{ kind: 'error', errno: 'ENOSPC' }],
} as const;

/** What follows a failure. */
const SEQUELS = [
  { times: 1, second: false },
  { times: 3, second: false },
  { times: 2, second: true },
] as const;

interface Failures {
  readonly lives: number;
  readonly faults: readonly string[];
}

interface Choice {
  /** Every how many steps of the operations fail; default 1. */
  readonly stride?: number;
  /** Of so many lives the first is lived; default 1. */
  readonly oneIn?: number;
  /** How many faults are enough; default all. */
  readonly faultsMax?: number;
  /** Gets every file that is left. */
  readonly keep?: (file: Uint8Array) => void;
}

/** Every failure of one kind of operation. */
function everyFailure(kind: Kind, choice: Choice = {}): Failures {
  const { stride = 1, oneIn = 1, faultsMax = Number.POSITIVE_INFINITY, keep } = choice;
  const faults: string[] = [];
  let lives = 0;
  for (const script of failures(kind, stride)) {
    lives += 1;
    if (oneIn > 1 && lives % oneIn !== 1) continue;
    const found = live(script, random(lives), 6, keep);
    if (found.length === 0) continue;
    const { fault, cacheBytes, second } = script;
    const what = JSON.stringify({ ...fault, cacheBytes, second });
    faults.push(...found.map(each => `${kind.name}: ${what}: ${each}`));
    if (faults.length >= faultsMax) break;
  }
  return { lives, faults };
}

function* failures({ template, operations }: Kind, stride: number): Generator<Script> {
  // With the smallest cache metadata is written in the middle of operations.
  for (const cacheBytes of [1, 2 ** 20]) {
    const counts = countSteps({ template, operations, cacheBytes });
    for (const on of ['write', 'flush', 'truncate'] as const) {
      for (let nth = 1; nth <= counts[on]; nth += stride) {
        for (const effect of EFFECTS[on]) {
          for (const { times, second } of SEQUELS) {
            const fault = { on, nth, times, effect };
            yield { template, operations, cacheBytes, fault, second };
          }
        }
      }
    }
  }
}

for (const kind of OURS) {
  test(`every failure: ${kind.name}`, t => {
    // Here a life takes fifty times as long, and most of its writes are alike.
    const { lives, faults } = everyFailure(kind, { stride: kind.name === BIGGER_TABLE ? 9 : 1 });
    t.deepEqual(faults.slice(0, 5), [], `${faults.length} of ${lives}`);
    t.true(lives > 10, `${lives} lives`);
  });
}

peerTest('every failure: images that only QEMU makes', ['qemu-img', 'qemu-io'], t => {
  for (const kind of theirs(scratch(t))) {
    const { lives, faults } = everyFailure(kind);
    t.deepEqual(faults.slice(0, 5), [], `${kind.name}: ${faults.length} of ${lives}`);
    t.true(lives > 10, kind.name);
  }
});

peerTest('after a sample of them, qemu-img check finds leaks at most', ['qemu-img'], t => {
  const folder = scratch(t);
  const path = join(folder, 'left.qcow2');
  writeFileSync(join(folder, 'base'), backing);
  for (const kind of OURS) {
    const keep = (file: Uint8Array): void => {
      writeFileSync(path, file);
      const status = qemuCheck(path);
      t.true(status === 0 || status === 3, `${kind.name}: ${status}`);
    };
    everyFailure(kind, { stride: 10, oneIn: 10, keep });
  }
});

test('this very test notices tables that are dropped when one write fails', t => {
  const { commit } = MetadataCache.prototype;
  MetadataCache.prototype.commit = function forgetful(this: MetadataCache): void {
    try {
      commit.call(this);
    } catch (error) {
      this.clear();
      throw error;
    }
  };
  try {
    t.true(OURS.some(kind => everyFailure(kind, { stride: 3, faultsMax: 1 }).faults.length > 0));
  } finally {
    MetadataCache.prototype.commit = commit;
  }
});

// ---- every landing of one allocating write of each kind

const allocating = (kinds: readonly Kind[]): Kind[] =>
  kinds.filter(({ name }) =>
    /new|bigger|copy on write|reserved|plain zeros|tag|growing/.test(name),
  );

/**
 * Cuts the power before every step, and looks at every way in which the unflushed sectors land; where
 * they are more than 2,000, at the extremes.
 * @param faultsMax how many faults are enough
 */
function everyLanding(
  kind: Kind,
  { Disk = SimulatedDisk, faultsMax = Number.POSITIVE_INFINITY } = {},
): { landings: number; faults: string[] } {
  const { name, template, operations } = kind;
  const life = new Life(template, 2 ** 20);
  const faults: string[] = [];
  // Before the flush has returned, and from then on: the model allows less after it.
  const seen = { held: new Set<string>(), flushed: new Set<string>() };
  let landings = 0;
  for (let step = 0, finished = false; !finished; step += 1) {
    const below = new Disk(template.image);
    below.cutPowerAfter(step);
    const model = new Model(template.disk);
    const node = openQcow2(below, { backing: life.backing() });
    let state: keyof typeof seen = 'held';
    try {
      withLock(node, {}, disk => {
        for (const operation of operations) operation(disk, model);
        flush(disk, model);
        state = 'flushed';
      });
      finished = true;
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      model.lost();
    }
    for (const platter of below.wreckages(2000, seen[state])) {
      if (faults.length >= faultsMax) return { landings, faults };
      landings += 1;
      // Here a look takes fifty times as long.
      if (name === BIGGER_TABLE && landings % 20 > 0) continue;
      const left = openQcow2(new MemoryNode(platter), { backing: life.backing() });
      withLock(left, {}, disk => {
        const { corruptions, checkErrors, problems } = checkImage(disk);
        if (corruptions + checkErrors > 0) faults.push(`${name}, step ${step}: ${problems[0]}`);
        const foreign = model.foreign(disk.read(0, disk.length));
        if (foreign !== undefined) faults.push(`${name}, step ${step}: ${foreign}`);
      });
    }
  }
  return { landings, faults };
}

for (const kind of allocating(OURS)) {
  test(`every landing: ${kind.name}`, t => {
    const { landings, faults } = everyLanding(kind);
    t.deepEqual(faults.slice(0, 5), [], `${faults.length} of ${landings}`);
    t.true(landings > 2, `${landings} landings`);
  });
}

peerTest('every landing: images that only QEMU makes', ['qemu-img', 'qemu-io'], t => {
  for (const kind of allocating(theirs(scratch(t)))) {
    const { landings, faults } = everyLanding(kind);
    t.deepEqual(faults.slice(0, 5), [], `${kind.name}: ${faults.length} of ${landings}`);
  }
});

test('this very test notices a disk that never flushes', t => {
  class Forgetful extends SimulatedDisk {
    override flush(): void {}
  }
  const kinds = allocating(OURS).filter(({ name }) => name !== BIGGER_TABLE);
  const twin = { Disk: Forgetful, faultsMax: 1 };
  const found = kinds.filter(kind => everyLanding(kind, twin).faults.length > 0);
  t.true(found.length > 5, `${found.length} of ${kinds.length} kinds`);
});
