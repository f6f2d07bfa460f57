/**
 * Weaknesses of the patch of 2011, each as a question that this lock answers correctly and the patch
 * does not.
 * @long
 */
import { closeSync, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { scratch } from '../../lab/files.js';
import { openFile } from '../../src/block/index.js';
import { lock } from '../../src/lock/index.js';
import { Child } from '../_child.js';
import { type NestedLocks, OurLocks, SeedLocks } from './_seed.js';

const test = (process.platform === 'linux' ? anyTest.serial : anyTest.skip) as TestFn;
const SHORT = { timeoutMs: 5 };

interface Image {
  readonly path: string;
  readonly locks: NestedLocks;
  /** Another process, which contends for the same lock. */
  readonly other: Child;
}

function image(t: ExecutionContext, way: 'ours' | 'seed'): Image {
  const path = join(scratch(t), 'image');
  writeFileSync(path, 'x');
  const file = openFile(path);
  t.teardown(() => file.close());
  t.teardown(() => SeedLocks.forget());
  const locks = way === 'ours' ? new OurLocks(file) : new SeedLocks(file.locks.fd);
  return { path, locks, other: new Child(t, 'lock/_locker.js', path) };
}

/** The code of the error that it throws. */
function codeOf(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code;
  }
}

type Question = (one: Image, two: Image) => Promise<unknown>;
// biome-ignore format: table
const QUESTIONS: Readonly<Record<string, { ask: Question; ours: unknown; seed: unknown }>> = {
  'with image A locked, does locking B exclude other processes from B?': {
    ask: async (a, b) => {
      a.locks.acquire('exclusive', SHORT);
      b.locks.acquire('exclusive', SHORT);
      return b.other.ask('exclusive');
    },
    ours: 'denied', seed: 'granted',
  },
  'is unlocking what is not locked a named error, after which the next lock works?': {
    ask: async ({ locks, other }) => {
      const code = codeOf(() => locks.release());
      locks.acquire('exclusive', SHORT);
      return [code, await other.ask('exclusive')];
    },
    ours: ['NOT_LOCKED', 'denied'], seed: ['ERR_ASSERTION', 'granted'],
  },
  'is a shared lock exclusive after an upgrade?': {
    ask: async ({ locks, other }) => {
      locks.acquire('shared', SHORT);
      locks.acquire('exclusive', SHORT);
      return other.ask('shared');
    },
    ours: 'denied', seed: 'granted',
  },
  'is an upgrade refused where another process shares the lock, with the shared lock kept?': {
    ask: async ({ locks, other }) => {
      locks.acquire('shared', SHORT);
      await other.ask('shared');
      const code = codeOf(() => locks.acquire('exclusive', SHORT));
      return [code, locks.depth, await other.ask('exclusive')];
    },
    ours: ['LOCKED', 1, 'denied'], seed: [undefined, 2, 'denied'],
  },
};
for (const [question, { ask, ours, seed }] of Object.entries(QUESTIONS)) {
  test(question, async t => {
    t.deepEqual(await ask(image(t, 'ours'), image(t, 'ours')), ours);
  });
  test(`${question} (the patch of 2011)`, async t => {
    t.deepEqual(await ask(image(t, 'seed'), image(t, 'seed')), seed);
  });
}

test('waiting for a lock that is never released ends', async t => {
  const { path, other } = image(t, 'ours');
  await other.ask('exclusive');
  const waiter = new Child(t, 'lock/_waiter.js', path, 'ours');
  t.is(await waiter.line(), 'waiting');
  t.is(await waiter.line(), 'LOCKED');
});

test('waiting for a lock that is never released ends (the patch of 2011)', async t => {
  const { path, other } = image(t, 'seed');
  await other.ask('exclusive');
  const waiter = new Child(t, 'lock/_waiter.js', path, 'seed');
  t.is(await waiter.line(), 'waiting');
  const verdict = await Promise.race([waiter.line(), sleep(500, 'still waiting')]);
  t.is(verdict, 'still waiting');
});

for (const flavour of ['ofd', 'posix']) {
  test(`the lock of a holder that is killed is free within a second: ${flavour}`, async t => {
    const { path, locks } = image(t, 'ours');
    const holder = new Child(t, 'lock/_locker.js', path, flavour);
    t.is(await holder.ask('exclusive'), 'granted');
    t.is(
      codeOf(() => locks.acquire('exclusive', SHORT)),
      'LOCKED',
    );
    await holder.kill();
    t.notThrows(() => locks.acquire('exclusive', { timeoutMs: 1000 }));
  });
}

test('the lock of a holder that is killed is free within a second (a lock file)', async t => {
  // The patch does well here, since the kernel releases fcntl locks. A lock file does not: it
  // outlives the process that created it.
  const { path } = image(t, 'ours');
  const lockFile = `${path}.lock`;
  const byFile = {
    flavour: 'posix' as const,
    tryLock: () => codeOf(() => closeSync(openSync(lockFile, 'wx'))) !== 'EEXIST',
    unlock: () => unlinkSync(lockFile),
    holder: () => undefined,
    holders: () => [],
  };
  const holder = new Child(t, 'lock/_lock-file.js', lockFile);
  t.is(await holder.line(), 'locked');
  await holder.kill();
  const wanted = { fd: 0, path, type: 'exclusive', range: { start: 0, length: 0 } } as const;
  t.throws(() => lock(byFile, wanted, { timeoutMs: 1000 }), { code: 'LOCKED' });
});
