/** The fault node does what its script says, when it says so, and nothing else. */
import test from 'ava';
import { MemoryNode } from '../../lab/block/memory.js';
import { type LockedNode, withLock } from '../../src/block/index.js';
import { type Effect, FaultNode, type Operation } from '../../src/testing/index.js';

const ones = (length: number): Uint8Array => new Uint8Array(length).fill(1);

function setUp(
  on: Operation,
  nth: number,
  effect: Effect,
  times?: number,
): { file: MemoryNode; node: FaultNode; disk: LockedNode } {
  const file = new MemoryNode(new Uint8Array(16));
  const script = [{ on, nth, effect, ...(times === undefined ? {} : { times }) }];
  const node = new FaultNode(file, script);
  return { file, node, disk: node.lock() };
}

test('only the n-th operation of the kind fails', t => {
  const { file, node, disk } = setUp('write', 2, { kind: 'error', errno: 'ENOSPC' });
  disk.flush();
  disk.read(0, 1);
  disk.write(0, ones(1));
  t.throws(() => disk.write(1, ones(1)), { code: 'IO', message: /no space left/ });
  disk.write(2, ones(1));
  t.deepEqual([...file.view.subarray(0, 3)], [1, 0, 1]);
  t.deepEqual(node.counts, { read: 1, write: 3, flush: 1, truncate: 0, writeBack: 0 });
});

test('several in a row fail, or all from there on', t => {
  const { disk } = setUp('flush', 2, { kind: 'error', errno: 'EIO' }, Number.POSITIVE_INFINITY);
  disk.flush();
  for (let i = 0; i < 3; i += 1) t.throws(() => disk.flush(), { message: /EIO/ });
});

// biome-ignore format: table
const WRITES: readonly [effect: Effect, landed: number, reported: boolean][] = [
  [{ kind: 'short', bytes: 3, errno: 'ENOSPC' }, 3, true],
  [{ kind: 'torn', bytes: 3 },                   3, false],
  [{ kind: 'drop' },                             0, false],
  [{ kind: 'delay', ms: 1 },                     8, false],
];
for (const [effect, landed, reported] of WRITES) {
  test(`a write with ${effect.kind}: ${landed} of 8 bytes land`, t => {
    const { file, disk } = setUp('write', 1, effect);
    const write = (): void => disk.write(0, ones(8));
    if (reported) t.throws(write, { code: 'IO' });
    else t.notThrows(write);
    t.is(
      file.view.reduce((sum, byte) => sum + byte, 0),
      landed,
    );
  });
}

test('a dropped flush and a dropped resize do nothing and report nothing', t => {
  const flush = setUp('flush', 1, { kind: 'drop' });
  flush.disk.flush();
  t.deepEqual(flush.file.log, []);
  const resize = setUp('truncate', 1, { kind: 'drop' });
  resize.disk.truncate(32);
  t.is(resize.disk.length, 16);
});

test('a torn read has zeros at its end', t => {
  const { file, disk } = setUp('read', 1, { kind: 'torn', bytes: 2 });
  file.view.fill(1);
  t.deepEqual([...disk.read(0, 4)], [1, 1, 0, 0]);
  t.deepEqual([...disk.read(0, 4)], [1, 1, 1, 1]);
});

test('write-backs are counted at the outermost release, and a failing one breaks the node', t => {
  const { node, disk } = setUp('writeBack', 2, { kind: 'error', errno: 'EIO' });
  withLock(node, undefined, () => {});
  t.is(node.counts.writeBack, 0, 'the outer lock is held');
  disk.release();
  t.is(node.counts.writeBack, 1);
  node.lock().abandon();
  t.is(node.counts.writeBack, 1, 'an abandoned lock writes nothing back');
  t.throws(() => node.lock().release(), { code: 'IO' });
  t.throws(() => node.lock(), { code: 'BROKEN' });
});
