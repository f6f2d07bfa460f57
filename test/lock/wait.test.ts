/** Waiting for a lock: the synchronous wait stops the thread, the other one leaves the event loop free. */
import { getEventListeners } from 'node:events';
import { openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { scratch } from '../../lab/files.js';
import {
  closeFile,
  LockError,
  lock,
  lockAsync,
  lockDriverFor,
  retry,
  retryAsync,
  WHOLE_FILE,
} from '../../src/lock/index.js';
import { Child } from '../_child.js';

const test = (process.platform === 'linux' ? anyTest.serial : anyTest.skip) as TestFn;

/** A file that another process has locked. */
async function contended(t: ExecutionContext) {
  const path = join(scratch(t), 'file');
  writeFileSync(path, 'x');
  const other = new Child(t, 'lock/_locker.js', path);
  t.is(await other.ask('exclusive'), 'granted');
  const fd = openSync(path, 'r+');
  t.teardown(() => closeFile(fd));
  const request = { fd, path, type: 'exclusive', range: WHOLE_FILE } as const;
  return { path, other, request, driver: lockDriverFor(fd) };
}

test('the synchronous wait ends with the name of the holder', async t => {
  const { path, other, request, driver } = await contended(t);
  const error = t.throws(() => lock(driver, request, { timeoutMs: 30 }), { instanceOf: LockError });
  t.is(error?.code, 'LOCKED');
  t.is(error?.outcome, 'LOCKED');
  t.is(error?.holder?.pid, other.process.pid!);
  const name = `locked by process ${other.process.pid} \\(node _locker.js file\\)`;
  t.regex(error!.message, new RegExp(`${name} after waiting 30 ms for the exclusive lock`));
  await t.throwsAsync(lockAsync(driver, request, { timeoutMs: 30 }), {
    code: 'LOCKED',
    message: error!.message,
  });
  t.regex(path, /file$/);
});

test('the lock is acquired once its holder releases it', async t => {
  const { other, request, driver } = await contended(t);
  const waiting = lockAsync(driver, request, { timeoutMs: 60_000 });
  t.is(await other.ask('unlock'), 'granted');
  await waiting;
  t.is(await other.ask('shared'), 'denied');
});

test('a process that waits asynchronously serves its timers and SIGINT meanwhile', async t => {
  const { path } = await contended(t);
  const waiter = new Child(t, 'lock/_async-waiter.js', path, 'async', '60000');
  t.is(await waiter.line(), 'waiting');
  t.is(await waiter.line(), 'ticked', 'its timers go on');
  waiter.process.kill('SIGINT');
  t.is(await waiter.line(), 'SIGINT');
  t.is(await waiter.line(), 'ABORTED', 'long before its timeout');
  t.log(`longest stop of the event loop: ${await waiter.line()}`);
  t.is(await waiter.ended(), 0);
});

test('and takes the lock when it is free', async t => {
  const { path, other } = await contended(t);
  const waiter = new Child(t, 'lock/_async-waiter.js', path, 'async', '60000');
  t.is(await waiter.line(), 'waiting');
  t.is(await waiter.line(), 'ticked');
  t.is(await other.ask('unlock'), 'granted');
  t.is(await waiter.line(), 'granted');
  t.log(`longest stop of the event loop: ${await waiter.line()}`);
});

test('the synchronous wait stops both: this test would notice it', async t => {
  const { path } = await contended(t);
  const waiter = new Child(t, 'lock/_async-waiter.js', path, 'sync', '500');
  t.is(await waiter.line(), 'waiting');
  waiter.process.kill('SIGINT');
  t.is(await waiter.line(), 'LOCKED', 'the timeout comes first');
  const after = [await waiter.line(), await waiter.line()];
  t.deepEqual(after.sort(), ['SIGINT', 'ticked']);
  t.log(`longest stop of the event loop: ${await waiter.line()}`);
});

const denied = (): undefined => undefined;
const timers = (): number => process.getActiveResourcesInfo().filter(r => r === 'Timeout').length;

test('an abort ends the wait at once and leaves neither timer nor listener', async t => {
  const abort = new AbortController();
  const { signal } = abort;
  const before = timers();
  let attempts = 0;
  const waiting = retryAsync('image', 'the lock', { signal, timeoutMs: 60_000 }, () => {
    attempts += 1;
    return undefined;
  });
  t.is(attempts, 1, 'the first attempt is made at once');
  t.is(getEventListeners(signal, 'abort').length, 1);
  t.is(timers(), before + 1);
  const events: string[] = [];
  const settled = waiting.catch((error: unknown) => {
    events.push('aborted');
    return error;
  });
  setTimeout(() => events.push('the next timer'), 0);
  const why = new Error('shutdown');
  abort.abort(why);
  t.is(getEventListeners(signal, 'abort').length, 0);
  t.is(timers(), before + 1, 'only the timer of this test is left');
  const error = await settled;
  t.like(error as LockError, { code: 'ABORTED', cause: why, path: 'image' });
  t.regex((error as LockError).message, /^image: waiting for the lock was aborted$/);
  await new Promise(resolve => setTimeout(resolve, 1));
  t.deepEqual(events, ['aborted', 'the next timer']);
  t.is(attempts, 1, 'nothing is tried after an abort');
});

test('many pauses leave no listeners behind', async t => {
  const { signal } = new AbortController();
  let attempts = 0;
  let most = 0;
  const result = await retryAsync('image', 'the lock', { signal, timeoutMs: 60_000 }, () => {
    attempts += 1;
    most = Math.max(most, getEventListeners(signal, 'abort').length);
    return attempts === 12 ? 'acquired' : undefined;
  });
  t.is(result, 'acquired');
  t.is(most, 0, 'none while an attempt is made');
  t.is(getEventListeners(signal, 'abort').length, 0);
});

test('a signal that has aborted already tries nothing', async t => {
  const attempt = (): never => t.fail() as never;
  const wait = { signal: AbortSignal.abort() };
  await t.throwsAsync(retryAsync('image', 'the lock', wait, attempt), { code: 'ABORTED' });
});

test('a result that is no lock is a result, and a failed attempt ends the wait', async t => {
  const failing = (): never => {
    throw new Error('EIO');
  };
  for (const result of [false, 0, '', null]) {
    t.is(
      retry<unknown>('image', {}, () => result),
      result,
    );
    t.is(await retryAsync<unknown>('image', 'it', {}, () => result), result);
  }
  t.throws(() => retry('image', {}, failing), { message: 'EIO' });
  await t.throwsAsync(retryAsync('image', 'it', {}, failing), { message: 'EIO' });
});

test('no time to wait is one attempt', async t => {
  let attempts = 0;
  const attempt = (): undefined => {
    attempts += 1;
  };
  t.is(retry('image', { timeoutMs: 0 }, attempt), undefined);
  t.is(await retryAsync('image', 'it', { timeoutMs: 0 }, attempt), undefined);
  t.is(attempts, 2);
});

test('an invalid timeout or request is refused', async t => {
  for (const timeoutMs of [Number.NaN, Infinity, -1]) {
    const expected = { code: 'EINVAL', message: /image: invalid timeout/ };
    t.throws(() => retry('image', { timeoutMs }, denied), expected);
    await t.throwsAsync(retryAsync('image', 'it', { timeoutMs }, denied), expected);
  }
  const { request, driver } = await contended(t);
  const invalid = [
    { range: { start: -1, length: 1 } },
    { range: { start: 0, length: -1 } },
    { range: { start: 0.5, length: 1 } },
    { range: { start: Number.MAX_SAFE_INTEGER, length: 1 } },
    { range: { start: Number.NaN, length: 0 } },
    { type: 'loose' as 'shared' },
  ];
  for (const each of invalid) {
    const expected = { code: 'EINVAL', message: /invalid lock (range|type)/ };
    t.throws(() => lock(driver, { ...request, ...each }), expected);
    await t.throwsAsync(lockAsync(driver, { ...request, ...each }), expected);
  }
});
