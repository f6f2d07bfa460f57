/**
 * Goal: an image in which a store can have been is never taken for an empty one, and a lost mapping is
 * never taken for a disk of zeros. Method: QEMU makes every kind of image; every single bit of its
 * metadata is flipped, every length of the file is tried, and every power cut of every change.
 * @long
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { using, usingNode } from '../../lab/block/disk.js';
import { MemoryNode } from '../../lab/block/memory.js';
import { random } from '../../lab/block/random.js';
import { scratch } from '../../lab/files.js';
import { qemuCheck, qemuImg, qemuIo, run } from '../../lab/peers/qemu.js';
import {
  allocateArea,
  checkImage,
  type Emptiness,
  eraseFreeClusters,
  formatQcow2,
  type LockedNode,
  mappingFaults,
  type OpenQcow2Options,
  openFile,
  openImage,
  openQcow2,
  openRaw,
  proveEmpty,
  repairImage,
  type StoreTag,
  storeTag,
  unreachable,
  withLock,
  writeStoreTag,
  writeZeroes,
} from '../../src/block/index.js';
import { isZeros } from '../../src/block/zeros.js';
import { NvtpmError } from '../../src/errors.js';
import { everyFlip, everyPowerCut, PowerCut, SimulatedDisk } from '../../src/testing/index.js';
import { peerTest } from '../_peers.js';

const PEERS = ['qemu-img', 'qemu-io'];
const MIB = 2 ** 20;
const KIB = 2 ** 10;
const TAG: StoreTag = { uuid: Uint8Array.from({ length: 16 }, (_, i) => i + 1), kind: 'test' };
const allow = { backing: () => true };

/** Uses an image that is in memory. */
const inMemory = <T>(
  image: Uint8Array,
  act: (disk: LockedNode) => T,
  options: OpenQcow2Options = {},
): T => usingNode(openQcow2(new MemoryNode(new Uint8Array(image)), options), act);

// ---- the tag

peerTest('a tag is kept by everything that QEMU does to an image', PEERS, t => {
  const folder = scratch(t);
  const [path, base, over] = [join(folder, 'a'), join(folder, 'base'), join(folder, 'over')];
  const changes: readonly (readonly string[])[] = [
    ['resize', '-f', 'qcow2', path, '2M'],
    ['snapshot', '-c', 's', path],
    ['snapshot', '-a', 's', path],
    ['snapshot', '-d', 's', path],
    ['bitmap', '-f', 'qcow2', '--add', path, 'b'],
    ['bitmap', '-f', 'qcow2', '--remove', path, 'b'],
    ['amend', '-f', 'qcow2', '-o', 'lazy_refcounts=on', path],
    ['amend', '-f', 'qcow2', '-o', 'lazy_refcounts=off', path],
    ['amend', '-f', 'qcow2', '-o', 'compat=0.10', path],
    ['amend', '-f', 'qcow2', '-o', 'compat=1.1', path],
    ['rebase', '-u', '-f', 'qcow2', '-b', base, '-F', 'qcow2', path],
    ['rebase', '-f', 'qcow2', '-b', '', path],
    ['commit', '-f', 'qcow2', over],
  ];
  for (const clusterSize of [512, 4096, 65_536]) {
    qemuImg('create', '-q', '-f', 'qcow2', base, '1M');
    qemuImg('create', '-q', '-f', 'qcow2', '-o', `cluster_size=${clusterSize}`, path, '1M');
    qemuIo(path, 'write -P 1 0 64k');
    t.true(using(path, disk => writeStoreTag(disk, TAG)));
    t.true(readFileSync(path).indexOf('nvtp') < 512, 'in the first sector');
    qemuImg('create', '-q', '-f', 'qcow2', '-b', path, '-F', 'qcow2', over);
    for (const change of changes) {
      qemuImg(...change);
      qemuIo(path, 'write -P 2 64k 64k');
      t.deepEqual(using(path, storeTag, allow), TAG, `${clusterSize}: ${change.join(' ')}`);
      t.is(qemuCheck(path), 0);
    }
    const copy = join(folder, 'copy');
    qemuImg('convert', '-O', 'qcow2', path, copy);
    t.is(using(copy, storeTag), undefined, 'convert makes a new header');
  }
});

/** First clusters that differ in what lies where. */
function headers(folder: string): { name: string; image: Uint8Array }[] {
  const path = join(folder, 'header.qcow2');
  const long = join(folder, 'n'.repeat(200), '..', 'base');
  const longer = `${'./'.repeat(300)}base`;
  const found: { name: string; image: Uint8Array }[] = [];
  for (const options of [
    'cluster_size=512',
    'cluster_size=512,compat=0.10',
    'cluster_size=1024',
    'cluster_size=4096',
    'cluster_size=65536,compat=0.10',
  ]) {
    for (const backing of [undefined, 'base', long, longer]) {
      const more = backing === undefined ? [] : ['-u', '-b', backing, '-F', 'raw'];
      const create = ['create', '-q', '-f', 'qcow2', '-o', options, ...more, path, '64k'];
      if (run('qemu-img', ...create).status !== 0) continue;
      const name = `${options}, backing name of ${backing?.length ?? 0} bytes`;
      found.push({ name, image: readFileSync(path) });
    }
  }
  return found;
}

peerTest('no power cut while a tag is written leaves another image', PEERS, t => {
  let tagged = 0;
  let cuts = 0;
  for (const { name, image } of headers(scratch(t))) {
    const backing = openRaw(new MemoryNode(new Uint8Array(65_536).fill(9), true));
    const nameOf = (bytes: Uint8Array): string | undefined =>
      inMemory(bytes, disk => unreachable(disk)[0]?.name, { readOnly: true });
    const before = nameOf(image);
    let wrote = false;
    const act = (disk: MemoryNode | LockedNode['node']): void => {
      const node = openQcow2(disk as MemoryNode, { backing });
      withLock(node, {}, held => {
        wrote = writeStoreTag(held, TAG);
      });
    };
    for (const { disk, finished } of everyPowerCut(image, act)) {
      cuts += 1;
      const bytes = disk.peek(0, disk.length);
      t.is(nameOf(bytes), before, name);
      const tag = inMemory(bytes, storeTag, { readOnly: true });
      if (finished && wrote) t.deepEqual(tag, TAG, name);
      else if (tag !== undefined) t.deepEqual(tag, TAG, name);
      const counts = inMemory(bytes, checkImage, { readOnly: true });
      t.like(counts, { corruptions: 0, leaks: 0 }, name);
    }
    tagged += Number(wrote);
  }
  t.true(cuts > 50, `${cuts} cuts`);
  t.true(tagged >= 14, `${tagged} first clusters have room`);
});

test('a tag is replaced in its place, and written once only', t => {
  const file = new MemoryNode();
  formatQcow2(file, { size: MIB });
  const node = openQcow2(file);
  const write = (tag: StoreTag): number => {
    withLock(node, {}, disk => t.true(writeStoreTag(disk, tag)));
    const writes = file.log.filter(each => each.what === 'write').length;
    file.log.length = 0;
    t.deepEqual(withLock(node, {}, storeTag), tag);
    return writes;
  };
  write(TAG);
  t.is(write(TAG), 0);
  t.is(write({ ...TAG, kind: 'next' }), 1);
  t.is(Buffer.from(file.view.subarray(0, 65_536)).indexOf('test'), -1);
  t.like(withLock(node, {}, checkImage), { corruptions: 0, leaks: 0 });
});

test('a raw disk has no place for a tag', t => {
  usingNode(openRaw(new MemoryNode(new Uint8Array(1024))), disk => {
    t.false(writeStoreTag(disk, TAG));
    t.is(storeTag(disk), undefined);
  });
});

// ---- proven empty

interface Judged {
  readonly name: string;
  /** Commands that make the image `a`, beside others. */
  readonly make: (at: (name: string) => string) => void;
  readonly proven: boolean;
  readonly byHeader?: boolean;
  readonly why?: RegExp;
}

const create = (path: string, ...options: string[]): void =>
  void qemuImg('create', '-q', '-f', 'qcow2', ...options, path, '1M');
const patch = (path: string, at: number, ...bytes: number[]): void => {
  const file = readFileSync(path);
  file.set(bytes, at);
  writeFileSync(path, file);
};
const over = (path: string, base: string, format: string): void =>
  create(path, '-b', base, '-F', format);

// biome-ignore format: table
const JUDGED: readonly Judged[] = [
  { name: 'fresh',                   proven: true, byHeader: true, make: at => create(at('a')) },
  { name: 'preallocated',            proven: true, byHeader: true, make: at => create(at('a'), '-o', 'preallocation=full') },
  { name: 'zeros were written',      proven: true, byHeader: true, make: at => { create(at('a')); qemuIo(at('a'), 'write -P 0 0 300k', 'write -z 500k 64k'); } },
  { name: 'compressed zeros',        proven: true, byHeader: true, make: at => { create(at('a')); qemuIo(at('a'), 'write -c -P 0 0 64k'); } },
  { name: 'a snapshot of nothing',   proven: true, byHeader: true, make: at => { create(at('a')); qemuImg('snapshot', '-c', 's', at('a')); } },
  { name: 'over an empty image',     proven: true, byHeader: true, make: at => { create(at('b')); over(at('a'), 'b', 'qcow2'); } },
  { name: 'over a disk of zeros',    proven: true, byHeader: false, make: at => { writeFileSync(at('b'), new Uint8Array(MIB)); over(at('a'), 'b', 'raw'); } },
  { name: 'data',                    proven: false, why: /holds data/, make: at => { create(at('a')); qemuIo(at('a'), 'write -P 1 1023k 1k'); } },
  { name: 'compressed data',         proven: false, why: /holds data/, make: at => { create(at('a')); qemuIo(at('a'), 'write -c -P 1 0 64k'); } },
  { name: 'data under a zero flag',  proven: false, why: /holds data/, make: at => { create(at('a')); qemuIo(at('a'), 'write -P 1 0 64k'); patch(at('a'), 0x4_0007, 1); } },
  { name: 'data in a snapshot only', proven: false, why: /holds data/, make: at => { create(at('a')); qemuIo(at('a'), 'write -P 1 0 64k'); qemuImg('snapshot', '-c', 's', at('a')); qemuIo(at('a'), 'write -z 0 64k'); } },
  { name: 'a tag',                   proven: false, why: /a store was made in it/, make: at => { create(at('a')); using(at('a'), disk => writeStoreTag(disk, TAG)); } },
  { name: 'a tag that is damaged',   proven: false, why: /a store was made in it/, make: at => { create(at('a')); using(at('a'), disk => writeStoreTag(disk, TAG)); patch(at('a'), 140, 1); } },
  { name: 'an L1 entry that is lost', proven: false, why: /leaked clusters: 2/, make: at => { create(at('a')); qemuIo(at('a'), 'write -P 1 0 64k'); patch(at('a'), 0x3_0000, 0, 0, 0, 0, 0, 0, 0, 0); } },
  { name: 'a leak',                  proven: false, why: /leaked clusters: 1/, make: at => { create(at('a')); qemuIo(at('a'), 'write -P 0 0 64k'); patch(at('a'), 0x4_0000, 0, 0, 0, 0, 0, 0, 0, 0); } },
  { name: 'a refcount too low',      proven: false, why: /corruptions: 1/, make: at => { create(at('a')); patch(at('a'), 0x2_0001, 0); } },
  { name: 'not closed cleanly',      proven: false, why: /not closed cleanly/, make: at => { create(at('a'), '-o', 'lazy_refcounts=on'); run('qemu-io', '-f', 'qcow2', '-c', 'write -P 0 0 64k', '-c', 'flush', '-c', 'abort', at('a')); } },
  { name: 'marked corrupt',          proven: false, why: /marked corrupt/, make: at => { create(at('a')); patch(at('a'), 79, 2); } },
  { name: 'over data',               proven: false, why: /its backing file: .*holds data/, make: at => { create(at('b')); qemuIo(at('b'), 'write -P 1 0 64k'); over(at('a'), 'b', 'qcow2'); } },
  { name: 'over data that it hides', proven: false, why: /its backing file: .*holds data/, make: at => { create(at('b')); qemuIo(at('b'), 'write -P 1 0 64k'); over(at('a'), 'b', 'qcow2'); qemuIo(at('a'), 'write -z 0 1M'); } },
  { name: 'over a raw disk of data', proven: false, why: /its backing file: there is data at offset 700000/, make: at => { const b = new Uint8Array(MIB); b[700_000] = 1; writeFileSync(at('b'), b); over(at('a'), 'b', 'raw'); } },
  { name: 'over a tag',              proven: false, why: /its backing file: .*a store was made/, make: at => { create(at('b')); using(at('b'), disk => writeStoreTag(disk, TAG)); over(at('a'), 'b', 'qcow2'); } },
];

for (const { name, make, proven, byHeader, why } of JUDGED) {
  peerTest(`empty or not: ${name}`, PEERS, t => {
    const folder = scratch(t);
    make(each => join(folder, each));
    const path = join(folder, 'a');
    const before = readFileSync(path);
    const found = using(path, proveEmpty, { ...allow, readOnly: true });
    if (found.proven) t.deepEqual(found, { proven, byHeader } as Emptiness);
    else t.regex(found.why.join('; '), why ?? /^$/);
    t.is(found.proven, proven);
    t.deepEqual(readFileSync(path), before, 'the file is untouched');
  });
}

test('a raw disk is empty if all of it is zeros', t => {
  const disk = new Uint8Array(3 * MIB + 5);
  const judge = (): Emptiness => usingNode(openRaw(new MemoryNode(disk, true)), proveEmpty);
  t.deepEqual(judge(), { proven: true, byHeader: false });
  disk[3 * MIB + 4] = 1;
  t.deepEqual(judge(), {
    proven: false,
    why: [`there is data at offset ${3 * MIB + 4}`],
  });
});

test('an overlay without its backing file is not proven empty', t => {
  const file = new MemoryNode();
  formatQcow2(file, { size: MIB, backing: { name: 'base', format: 'raw' } });
  const found = usingNode(openQcow2(file), proveEmpty);
  t.deepEqual(found, { proven: false, why: ['its backing file was not opened with the image'] });
});

// ---- single faults

const AREA = 32 * KIB;

/** Images whose first 32 KiB hold data, and what lies where in them. */
function victims(t: ExecutionContext, tagged: boolean): { name: string; image: Uint8Array }[] {
  const path = join(scratch(t), 'victim.qcow2');
  const prepare = (options: string): void => {
    qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, '64k');
    if (tagged) using(path, disk => writeStoreTag(disk, TAG));
    qemuIo(path, `write -P 0xd1 0 ${AREA}`);
  };
  prepare('cluster_size=4096,refcount_bits=16');
  const found = [{ name: 'plain', image: new Uint8Array(readFileSync(path)) }];
  qemuImg('snapshot', '-c', 's', path);
  qemuIo(path, `write -P 0xd2 0 ${AREA}`);
  found.push({ name: 'with a snapshot', image: new Uint8Array(readFileSync(path)) });
  prepare('cluster_size=65536,compat=0.10');
  found.push({ name: 'version 2, large clusters', image: new Uint8Array(readFileSync(path)) });
  return found;
}

/** The parts of an image that hold metadata in use: offset and length. */
function metadataOf(image: Uint8Array): (readonly [number, number])[] {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const at64 = (at: number): number => Number(view.getBigUint64(at) & 0xff_ffff_ffff_fe00n);
  const clusterSize = 2 ** view.getUint32(20);
  const [l1, table] = [at64(40), at64(48)];
  const l1Bytes = view.getUint32(36) * 8;
  const parts: [number, number][] = [
    [0, 200],
    [l1, l1Bytes],
    [table, 16],
  ];
  for (let at = l1; at < l1 + l1Bytes; at += 8) {
    if (at64(at) !== 0)
      parts.push([at64(at), Math.min(clusterSize, (AREA / clusterSize) * 8 + 16)]);
  }
  parts.push([at64(table), Math.min(clusterSize, 64)]);
  return parts.map(([offset, length]) => [offset, Math.min(length, image.length - offset)]);
}

/** Everything that one fault can be: every bit of the metadata, every length of the file. */
function* singleFaults(image: Uint8Array): Generator<{ what: string; bytes: Uint8Array }> {
  for (const [offset, length] of metadataOf(image)) {
    for (const { offset: at, bit, bytes } of everyFlip(image, { offset, length })) {
      yield { what: `bit ${bit} of byte ${at}`, bytes };
    }
  }
  for (let length = 0; length < image.length; length += 512) {
    yield { what: `cut to ${length} bytes`, bytes: image.subarray(0, length) };
  }
}

/** The result of `act`, or undefined where the image is refused. */
function unlessRefused<T>(bytes: Uint8Array, act: (disk: LockedNode) => T): T | undefined {
  try {
    const node = openQcow2(new MemoryNode(bytes, true));
    return usingNode(node, act);
  } catch (error) {
    if (error instanceof NvtpmError) return undefined;
    throw error;
  }
}

peerTest('no single fault makes an image with data an empty one, even without a tag', PEERS, t => {
  let zeros = 0;
  let faults = 0;
  for (const { name, image } of victims(t, false)) {
    for (const { what, bytes } of singleFaults(image)) {
      faults += 1;
      const read = unlessRefused(bytes, disk => disk.read(0, Math.min(AREA, disk.length)));
      if (read === undefined || !isZeros(read)) continue;
      zeros += 1;
      const found = unlessRefused(bytes, proveEmpty);
      if (found?.proven) t.fail(`${name}: ${what}`);
    }
  }
  t.true(zeros > 200, `${zeros} of ${faults} make all of the disk zeros`);
});

peerTest('no single fault makes zeros of an area that has a tag without a finding', PEERS, t => {
  let lost = 0;
  for (const { name, image } of victims(t, true)) {
    t.deepEqual(
      unlessRefused(image, disk => mappingFaults(disk, AREA)),
      [],
      name,
    );
    for (const { what, bytes } of singleFaults(image)) {
      const read = unlessRefused(bytes, disk => disk.read(0, Math.min(AREA, disk.length)));
      const isTagged = unlessRefused(bytes, storeTag) !== undefined;
      // A disk that is shorter than the area is for the store to refuse.
      if (read?.length !== AREA || !isTagged || !isZeros(read)) continue;
      lost += 1;
      const faults = unlessRefused(bytes, disk => mappingFaults(disk, AREA));
      if (faults?.length === 0) t.fail(`${name}: ${what}`);
    }
  }
  t.true(lost > 200, `${lost} lose the area`);
});

// ---- the mapping of an area

peerTest('an area that QEMU has unallocated in a sound image is no fault', PEERS, t => {
  const folder = scratch(t);
  const [path, base] = [join(folder, 'a'), join(folder, 'base')];
  create(base);
  over(path, 'base', 'qcow2');
  using(
    path,
    disk => {
      writeStoreTag(disk, TAG);
      allocateArea(disk, AREA);
      t.deepEqual(mappingFaults(disk, AREA), []);
    },
    allow,
  );
  qemuImg('commit', '-f', 'qcow2', path);
  t.deepEqual(
    using(path, disk => mappingFaults(disk, AREA), allow),
    [],
  );
  create(path);
  qemuImg('snapshot', '-c', 'before', path);
  using(path, disk => {
    writeStoreTag(disk, TAG);
    allocateArea(disk, AREA);
  });
  qemuImg('snapshot', '-a', 'before', path);
  t.deepEqual(
    using(path, disk => mappingFaults(disk, AREA)),
    [],
  );
});

test('where all of an area is allocated, only its tables are read', t => {
  const file = new MemoryNode();
  formatQcow2(file, { size: 16 * MIB });
  const node = openQcow2(file);
  withLock(node, {}, disk => {
    writeStoreTag(disk, TAG);
    allocateArea(disk, 2 * MIB);
  });
  file.log.length = 0;
  t.deepEqual(
    withLock(node, {}, disk => mappingFaults(disk, 2 * MIB)),
    [],
  );
  // The header, slices of L1 and L2, and the tables that data must not overlap with, each once.
  t.is(file.log.length, 6);
  file.log.length = 0;
  withLock(node, {}, disk => allocateArea(disk, 2 * MIB));
  t.is(file.log.filter(({ what }) => what !== 'read').length, 0, 'nothing is written');
});

/** Images whose first clusters are there in every way there is, and what the disk shows. */
function kindsOfArea(folder: string): { name: string; path: string; disk: Uint8Array }[] {
  const disk = new Uint8Array(MIB);
  disk.fill(3, 0, 100 * KIB);
  disk.fill(4, 300 * KIB, 301 * KIB);
  disk.fill(5, 1000 * KIB);
  const raw = join(folder, 'raw');
  writeFileSync(raw, disk);
  const at = (name: string): string => join(folder, name);
  const convert = (path: string, ...how: string[]): void =>
    void qemuImg('convert', '-f', 'raw', '-O', 'qcow2', ...how, raw, path);
  const zeroed = disk.slice().fill(0, 0, 128 * KIB);
  convert(at('plain'));
  convert(at('compressed'), '-c');
  convert(at('snapshot'));
  qemuImg('snapshot', '-c', 's', at('snapshot'));
  convert(at('zeroed'));
  qemuIo(at('zeroed'), 'write -z 0 64k', 'write -z -u 64k 64k');
  convert(at('small'), '-o', 'cluster_size=512,compat=0.10');
  create(at('overlay'), '-b', 'raw', '-F', 'raw');
  create(at('small overlay'), '-o', 'cluster_size=1024', '-b', 'raw', '-F', 'raw');
  qemuIo(at('small overlay'), 'write -P 3 10k 5k');
  const names = ['plain', 'compressed', 'snapshot', 'small', 'overlay', 'small overlay'];
  return [
    ...names.map(name => ({ name, path: at(name), disk })),
    { name: 'zeroed', path: at('zeroed'), disk: zeroed },
  ];
}

peerTest('an area is allocated with the bytes that it shows, whatever was there', PEERS, t => {
  for (const { name, path, disk } of kindsOfArea(scratch(t))) {
    const length = 350 * KIB + 7;
    using(path, image => allocateArea(image, length), allow);
    t.is(qemuCheck(path), 0, name);
    using(
      path,
      image => {
        t.is(Buffer.compare(image.read(0, MIB), disk), 0, name);
        writeStoreTag(image, TAG);
        t.deepEqual(mappingFaults(image, length), [], name);
      },
      allow,
    );
    const file = readFileSync(path);
    using(path, image => allocateArea(image, length), allow);
    t.deepEqual(readFileSync(path), file, `${name}: the second time nothing is written`);
    using(
      path,
      image => {
        image.write(0, new Uint8Array(length).fill(8));
        image.flush();
        t.like(checkImage(image), { corruptions: 0, leaks: 0 }, name);
      },
      allow,
    );
    t.is(readFileSync(path).length, file.length, `${name}: a write of all of it allocates nothing`);
  }
});

peerTest('a power cut while an area is allocated leaks at most', PEERS, t => {
  const next = random(7);
  const length = 140_000;
  for (const { name, path, disk } of kindsOfArea(scratch(t))) {
    const backing = name.includes('overlay') ? openRaw(new MemoryNode(disk, true)) : undefined;
    let cuts = 0;
    for (let finished = false; !finished; cuts += 1) {
      const below = new SimulatedDisk(readFileSync(path));
      below.cutPowerAfter(cuts);
      try {
        withLock(openQcow2(below, { backing }), {}, image => allocateArea(image, length));
        finished = true;
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
      }
      // Nothing has landed, everything, and three mixtures.
      const picks = [() => 0, (options: number) => options - 1, next, next, next];
      for (const pick of picks) {
        const left = openQcow2(new MemoryNode(below.wreckage(pick)), { backing });
        withLock(left, {}, image => {
          t.like(checkImage(image), { corruptions: 0, checkErrors: 0 }, name);
          t.is(Buffer.compare(image.read(0, length), disk.subarray(0, length)), 0, name);
        });
      }
    }
    t.true(name === 'plain' || name === 'small' || cuts > 5, `${name}: ${cuts}`);
  }
});

// ---- erasing

const MARK = 'the secret of the owner';
const secret = new Uint8Array(Buffer.from(MARK.padEnd(512, '.').repeat(256)));

function copies(path: string): number {
  const file = readFileSync(path);
  let found = 0;
  for (let at = file.indexOf(MARK); at >= 0; at = file.indexOf(MARK, at + 1)) found += 1;
  return found;
}

/** Takes everything from `from` clusters on out of the mapping, which leaks it. */
function unmap(path: string, from = 0): void {
  const file = readFileSync(path);
  const l1 = Number(file.readBigUInt64BE(40));
  const l2 = Number(file.readBigUInt64BE(l1) & 0xff_ffff_fe00n);
  if (file.readUInt32BE(20) === 9) file.fill(0, l1, l1 + file.readUInt32BE(36) * 8);
  else file.fill(0, l2 + from * 8, l2 + 100);
  writeFileSync(path, file);
}

function setSize(path: string, size: number): void {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(size));
  patch(path, 24, ...bytes);
}

peerTest('what was overwritten is nowhere in the file once free clusters are erased', PEERS, t => {
  const folder = scratch(t);
  const raw = join(folder, 'raw');
  writeFileSync(raw, Buffer.concat([secret, new Uint8Array(MIB - secret.length)]));
  const path = join(folder, 'image');
  const convert = (...options: string[]): void =>
    void qemuImg('convert', '-f', 'raw', '-O', 'qcow2', ...options, raw, path);
  const repair = (): void =>
    void using(path, disk => repairImage(disk, 'leaks'), { forRepair: true });
  // biome-ignore format: table
  const ways: readonly (readonly [name: string, make: () => void])[] = [
    ['leaked',           () => { convert(); unmap(path); }],
    ['leaked, 512 B',    () => { convert('-o', 'cluster_size=512'); unmap(path); }],
    ['freed',            () => { convert(); unmap(path); repair(); }],
    ['freed, 512 B',     () => { convert('-o', 'cluster_size=512,refcount_bits=1'); unmap(path); repair(); }],
    ['reserved',         () => { convert(); using(path, disk => writeZeroes(disk, 0, secret.length)); }],
    ['behind the disk',  () => { convert(); unmap(path, 1); setSize(path, secret.length - 512); using(path, disk => writeZeroes(disk, 0, disk.length)); }],
  ];
  for (const [name, make] of ways) {
    make();
    const before = copies(path);
    const shown = using(path, disk => disk.read(0, disk.length));
    using(path, eraseFreeClusters);
    t.true(before > 0, `${name}: ${before} copies before`);
    t.is(copies(path), 0, name);
    t.deepEqual(
      using(path, disk => disk.read(0, disk.length)),
      shown,
      name,
    );
    t.is(qemuCheck(path), 0, name);
  }
});

peerTest('gaps between compressed clusters are erased, and the clusters are not', PEERS, t => {
  const folder = scratch(t);
  const [raw, path] = [join(folder, 'raw'), join(folder, 'image')];
  const disk = new Uint8Array(MIB);
  for (let i = 0; i < disk.length; i += 1) disk[i] = (i * i) >> 9;
  writeFileSync(raw, disk);
  qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', raw, path);
  const before = readFileSync(path);
  using(path, image => image.write(64 * KIB, disk.subarray(64 * KIB, 128 * KIB)));
  const kept = readFileSync(path);
  using(path, eraseFreeClusters);
  const after = readFileSync(path);
  using(path, image => t.is(Buffer.compare(image.read(0, MIB), disk), 0));
  t.is(qemuCheck(path), 0);
  // The second compressed cluster: where it was, and that it is gone.
  const l2 = Number(before.readBigUInt64BE(Number(before.readBigUInt64BE(40))) & 0xff_ffff_fe00n);
  const entry = before.readBigUInt64BE(l2 + 8);
  const at = Number(entry & 0x3f_ffff_ffff_ffffn);
  const sectors = Number((entry >> 54n) & 0xffn) + 1;
  const middle = [Math.ceil(at / 512) * 512, (Math.floor(at / 512) + sectors - 1) * 512] as const;
  t.true(middle[1] - middle[0] >= 512);
  t.true(kept.subarray(...middle).some(byte => byte !== 0));
  t.true(after.subarray(...middle).every(byte => byte === 0));
});

peerTest('nothing is erased where free clusters cannot be told from used ones', PEERS, t => {
  const path = join(scratch(t), 'a');
  create(path);
  qemuIo(path, 'write -P 1 0 64k');
  patch(path, 0x2_000b, 0);
  const before = readFileSync(path);
  t.throws(() => using(path, eraseFreeClusters), { code: 'DAMAGED', message: /repair the image/ });
  t.deepEqual(readFileSync(path), before);
});

peerTest('what overwriting does not reach is named', PEERS, t => {
  const folder = scratch(t);
  const path = join(folder, 'a');
  create(join(folder, 'base'));
  over(path, 'base', 'qcow2');
  qemuIo(path, 'write -P 1 0 64k');
  qemuImg('snapshot', '-c', 'before', path);
  const node = openImage(path, allow);
  t.deepEqual(usingNode(node, unreachable), [
    { kind: 'snapshot', name: 'before' },
    { kind: 'backing file', name: 'base' },
  ]);
  t.deepEqual(usingNode(openRaw(openFile(path)), unreachable), []);
});
