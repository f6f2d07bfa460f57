/** Beside the real QEMU: each refuses the other, with the errors that its users know. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { ROOT, scratch } from '../../lab/files.js';
import { qemuCheck, qemuIo, run } from '../../lab/peers/qemu.js';
import {
  type BlockNode,
  bdrv_lock,
  bdrv_unlock,
  createQcow2,
  type GuardRole,
  imageHolders,
  type OpenImageOptions,
  openImage,
  takeGuard,
  withLock,
} from '../../src/block/index.js';
import { EXIT_CODES } from '../../src/cli/exit-codes.js';
import { type LockDriver, LockError, lockDriverFor, WHOLE_FILE } from '../../src/lock/index.js';
import { openStore } from '../../src/nvram/index.js';
import { Child } from '../_child.js';
import { peerTest } from '../_peers.js';
import { fileOf } from './_file-of.js';

function image(t: ExecutionContext): string {
  const path = join(scratch(t), 'image.qcow2');
  createQcow2(path, { size: 2 ** 20 });
  return path;
}

function opened(t: ExecutionContext, path: string, options: OpenImageOptions = {}): BlockNode {
  const node = openImage(path, options);
  t.teardown(() => node.close());
  return node;
}

/** qemu-io that has the image open, and its bytes locked, until its standard input ends. */
async function qemuIoStays(t: ExecutionContext, path: string, ...options: readonly string[]) {
  const child = spawn('qemu-io', [...options, '-f', 'qcow2', path]);
  t.teardown(() => child.kill('SIGKILL'));
  const look = openImage(path, { readOnly: true });
  while (!imageHolders(look).some(({ pid }) => pid === child.pid)) {
    if (child.exitCode !== null) throw new Error(`qemu-io ended with code ${child.exitCode}`);
    await sleep(10);
  }
  look.close();
  return {
    pid: child.pid!,
    kill: async () => {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
    running: () => child.exitCode === null,
  };
}

/** The calls of F_OFD_SETLK and F_OFD_GETLK that a program makes on the bytes of a guard. */
function locksOf(folder: string, command: readonly string[]): string[] {
  const log = join(folder, 'strace');
  run('strace', '-f', '-qq', '-e', 'trace=fcntl', '-o', log, ...command);
  const calls = [
    ...readFileSync(log, 'utf8').matchAll(
      /F_OFD_([SG])ETLK, \{l_type=F_(\w+), l_whence=SEEK_SET, l_start=(\d+), l_len=1[,}]/g,
    ),
  ];
  return calls
    .filter(([, call, type, start]) => Number(start) >= 100 && !(call === 'S' && type === 'UNLCK'))
    .map(([, call, , start]) => `${call === 'S' ? 'lock' : 'test'} ${start}`);
}

// biome-ignore format: table
const COUNTERPARTS: Readonly<Record<Exclude<GuardRole, 'incoming'>, readonly string[]>> = {
  writer:  ['qemu-io', '-f', 'qcow2', '-c', 'quit'],
  reader:  ['qemu-img', 'check', '-f', 'qcow2'],
  probe:   ['qemu-img', 'info', '-f', 'qcow2'],
  sharing: ['qemu-img', 'check', '-U', '-f', 'qcow2'],
};
for (const [role, command] of Object.entries(COUNTERPARTS)) {
  const peers = ['strace', command[0]!];
  peerTest(`role ${role} makes the same calls as ${command.join(' ')}`, peers, t => {
    const path = image(t);
    const theirs = locksOf(scratch(t), [...command, path]);
    const script = join(ROOT, 'dist/test/lock/_guard.js');
    t.deepEqual(locksOf(scratch(t), [process.execPath, script, path, role]), theirs);
    t.true(theirs.length > 1);
  });
}

peerTest('a guard is refused while qemu-io has the image open', ['qemu-io'], async t => {
  const path = image(t);
  const qemu = await qemuIoStays(t, path);
  for (const role of ['writer', 'reader', 'probe'] as const) {
    const node = opened(t, path, { readOnly: role !== 'writer' });
    const error = t.throws(() => takeGuard(node, role), { instanceOf: LockError });
    t.is(EXIT_CODES[error!.outcome], 9);
    t.is(error?.holder?.pid, qemu.pid);
    t.regex(error!.message, new RegExp(`process ${qemu.pid} \\(qemu-io\\)`));
  }
  const reader = opened(t, path, { readOnly: true });
  const sharing = takeGuard(reader, 'sharing');
  const disk = bdrv_lock(reader, { timeoutMs: 0 });
  t.is(disk.read(0, 512).length, 512);
  bdrv_unlock(disk);
  sharing.release();
  t.deepEqual(imageHolders(reader), [
    { pid: qemu.pid, command: 'qemu-io', bytes: [100, 101, 103, 201, 203], role: 'writer' },
  ]);
  await qemu.kill();
  t.notThrows(() => takeGuard(opened(t, path), 'writer'));
});

peerTest('beside a QEMU that only reads, readers are admitted', ['qemu-io'], async t => {
  const path = image(t);
  await qemuIoStays(t, path, '-r');
  t.throws(() => takeGuard(opened(t, path), 'writer'), { code: 'LOCKED' });
  t.notThrows(() => takeGuard(opened(t, path, { readOnly: true }), 'reader'));
});

for (const flavour of ['ofd', 'posix'] as const) {
  const title = `beside an active writer QEMU is refused with its own message: ${flavour}`;
  peerTest(title, ['qemu-io', 'qemu-img'], t => {
    const path = image(t);
    const node = opened(t, path, { lockDriver: fd => lockDriverFor(fd, flavour) });
    const guard = takeGuard(node, 'writer', 'on');
    const write = () => run('qemu-io', '-f', 'qcow2', '-c', 'write 0 512', path);
    t.regex(write().text, /Failed to get "write" lock/);
    t.is(write().status, 1);
    t.regex(run('qemu-img', 'info', path).text, /Failed to get shared "write" lock/);
    const { status, text } = run('qemu-img', 'info', '-U', path);
    t.is(status, 0, text);
    t.is(run('qemu-img', 'convert', '-U', '-O', 'raw', path, `${path}.raw`).status, 0);
    const locked = bdrv_lock(node);
    t.is(run('qemu-img', 'info', '-U', path).status, 0, 'during a cycle too');
    bdrv_unlock(locked);
    t.regex(write().text, /Failed to get "write" lock/);
    guard.release();
    t.is(write().status, 0);
  });
}

const CYCLES = 1000;

/** How many queries a watcher made for the guard's bytes during the cycles, and found one free. */
async function watched(
  t: ExecutionContext,
  node: BlockNode,
): Promise<[asked: number, free: number]> {
  const watcher = new Child(t, 'lock/_watcher.js', node.path);
  t.is(await watcher.line(), 'watching');
  const sector = new Uint8Array(512);
  let answer = '';
  for (let cycle = 1; cycle <= CYCLES; cycle += 1) {
    const disk = bdrv_lock(node);
    disk.read(0, 512);
    disk.write(0, sector.fill(cycle % 256));
    bdrv_unlock(disk);
    // Otherwise it could miss all of them on a busy machine.
    if (cycle % 50 === 0) answer = await watcher.ask('how many?');
  }
  const [asked, free] = answer.split(' ').map(Number);
  t.log(`${asked} queries during ${CYCLES} cycles, ${free} times a byte was free`);
  return [asked!, free!];
}

peerTest(`the guard survives ${CYCLES} cycle locks`, [], async t => {
  const node = opened(t, image(t));
  takeGuard(node, 'writer');
  const [asked, free] = await watched(t, node);
  t.true(asked >= CYCLES);
  t.is(free, 0);
});

peerTest('a cycle lock on the whole file would drop the guard', [], async t => {
  const node = opened(t, image(t));
  takeGuard(node, 'writer');
  fileOf(node).locks.range = WHOLE_FILE;
  const [, free] = await watched(t, node);
  t.true(free > 0);
});

peerTest('a QEMU reader that stays delays no store', ['qemu-io', 'qemu-img'], async t => {
  const path = image(t);
  const node = opened(t, path);
  const entropy = (length: number) => new Uint8Array(length).fill(0x42);
  takeGuard(node, 'writer');
  const reader = await qemuIoStays(t, path, '-r', '-U');
  // With a timeout of 0 any delay is a refusal.
  const wait = { timeoutMs: 0 };
  const store = withLock(node, wait, disk =>
    openStore(disk, { entropy, wait, whenEmpty: 'format' }).activate(),
  );
  for (let i = 1; i <= 20; i += 1) store.store('permall', new Uint8Array(2000).fill(i));
  t.is(store.load('permall')?.[0], 20);
  t.true(reader.running());

  // On the whole file, as in 2011, the reader's byte 100 conflicts with every store.
  fileOf(node).locks.range = WHOLE_FILE;
  const error = t.throws(() => store.store('permall', new Uint8Array(9)), { code: 'LOCKED' });
  t.is((error as LockError).holder?.pid, reader.pid);
  t.true(reader.running());
});

peerTest('what QEMU allocated is seen after bdrv_lock', ['qemu-io', 'qemu-img'], t => {
  const path = image(t);
  const node = opened(t, path);
  withLock(node, undefined, disk => {
    disk.write(0, new Uint8Array(512).fill(1));
    t.is(disk.read(0x2_0000, 1)[0], 0);
  });
  for (const round of [2, 4]) {
    const at = round * 0x2_0000;
    qemuIo(path, `write -P ${round} ${at} 64k`);
    withLock(node, undefined, disk => {
      t.is(disk.read(at, 1)[0], round);
      disk.write(at + 0x1_0000, new Uint8Array(0x1_0000).fill(round + 1));
    });
    qemuIo(path, `read -P ${round} ${at} 64k`, `read -P ${round + 1} ${at + 0x1_0000} 64k`);
    t.is(qemuCheck(path), 0, 'no cluster has two owners');
  }
});

peerTest('without dropping metadata it is not seen', ['qemu-io', 'qemu-img'], t => {
  const path = image(t);
  // An exclusive lock that is not one: QEMU writes while the node holds on to what it has read.
  const none: LockDriver = {
    flavour: 'posix',
    tryLock: () => true,
    unlock: () => {},
    holder: () => undefined,
    holders: () => [],
  };
  const disk = bdrv_lock(opened(t, path, { lockDriver: () => none }));
  disk.write(0, new Uint8Array(512).fill(1));
  disk.flush();
  qemuIo(path, 'write -P 2 256k 64k');
  t.is(disk.read(0x4_0000, 1)[0], 0, 'stale');
  disk.write(0x5_0000, new Uint8Array(0x1_0000).fill(3));
  bdrv_unlock(disk);
  t.not(qemuCheck(path), 0, 'two owners of one cluster');
});
