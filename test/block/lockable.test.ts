/** The lock as a value: what nests, what is released, and what a failed write-back leaves. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { scratch } from '../../lab/files.js';
import { type FileNode, openFile, openRaw } from '../../src/block/index.js';
import { type Bytes, LockableNode, type LowerLock } from '../../src/block/lockable.js';
import { Child } from '../_child.js';

const test = (process.platform === 'linux' ? anyTest : anyTest.skip) as TestFn;

function file(t: ExecutionContext): FileNode {
  const path = join(scratch(t), 'image');
  writeFileSync(path, 'x'.repeat(512));
  const node = openFile(path);
  t.teardown(() => node.close());
  return node;
}

test('locks may be released in any order: the bytes are usable until the last', async t => {
  const bottom = file(t);
  const other = new Child(t, 'lock/_locker.js', bottom.path);
  const node = openRaw(bottom);
  const [outer, inner] = [node.lock(), node.lock()];
  outer.release();
  inner.write(0, Uint8Array.of(1));
  t.deepEqual(inner.read(0, 1), Uint8Array.of(1));
  t.is(await other.ask('shared'), 'denied');
  inner.release();
  t.is(await other.ask('shared'), 'granted');
});

test('a released lock reads nothing, writes nothing and is not released again', t => {
  const locked = openRaw(file(t)).lock();
  locked.release();
  for (const use of [
    () => locked.length,
    () => locked.read(0, 1),
    () => locked.write(0, Uint8Array.of(1)),
    () => locked.flush(),
    () => locked.truncate(1024),
    () => locked.release(),
    () => locked.node,
  ]) {
    t.throws(use, { code: 'NOT_LOCKED' });
  }
  t.notThrows(() => locked[Symbol.dispose]());
  t.notThrows(() => locked.abandon());
});

test('a shared lock writes nothing; an exclusive one inside it does', async t => {
  const bottom = file(t);
  const other = new Child(t, 'lock/_locker.js', bottom.path);
  const node = openRaw(bottom);
  const shared = node.tryLock('shared')!;
  t.throws(() => shared.write(0, Uint8Array.of(7)), { code: 'READONLY' });
  const exclusive = node.tryLock('exclusive')!;
  exclusive.write(0, Uint8Array.of(7));
  t.is(await other.ask('shared'), 'denied');
  t.deepEqual(shared.read(0, 1), Uint8Array.of(7));
  exclusive.release();
  shared.release();
  t.is(await other.ask('exclusive'), 'granted');
});

test('closing a node abandons what is held', async t => {
  const bottom = file(t);
  const other = new Child(t, 'lock/_locker.js', bottom.path);
  const node = openRaw(bottom);
  const locked = node.lock();
  node.close();
  t.is(await other.ask('exclusive'), 'granted');
  t.throws(() => locked.read(0, 1), { code: 'NOT_LOCKED' });
  t.throws(() => node.lock(), { code: 'ENOMEDIUM' });
});

/** A node that holds one byte back, and fails to write it. */
class HoldingBack extends LockableNode<LowerLock> {
  readonly driver = 'test';
  readonly path = 'test';
  readonly readOnly = false;
  readonly file = undefined;
  readonly log: string[] = [];
  protected readonly bytes: Bytes = {
    length: 1,
    read: () => new Uint8Array(1),
    write: () => {},
    flush: () => {},
    truncate: () => {},
  };

  lockHolder(): undefined {
    return undefined;
  }

  protected acquire(): LowerLock {
    return {
      release: () => this.log.push('release'),
      abandon: () => this.log.push('abandon'),
    };
  }

  protected override begin(): void {
    this.log.push('begin');
  }

  protected override writeBack(): void {
    throw new Error('no space');
  }

  protected override drop(): void {
    this.log.push('drop');
  }

  protected closeBelow(): void {}
}

test('a write-back that fails drops what was held back, releases, and breaks the node', t => {
  const node = new HoldingBack();
  const locked = node.lock();
  t.throws(() => locked.release(), { message: 'no space' });
  t.deepEqual(node.log, ['begin', 'drop', 'release']);
  t.throws(() => node.lock(), { code: 'BROKEN', message: /no space.*close the image/ });
  t.is(node.depth, 0);
});

test('an abandoned lock writes nothing back', t => {
  const node = new HoldingBack();
  node.lock().abandon();
  t.deepEqual(node.log, ['begin', 'drop', 'abandon']);
  t.notThrows(() => node.lock().abandon());
});
