/** Migration over an image that two servers share, message by message, without a QEMU. */
import { truncateSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { flipPermanentState } from '../../lab/damage/blob.js';
import { hex, scratch } from '../../lab/files.js';
import type { ControlClient } from '../../lab/peers/control.js';
import { openImage, takeGuard, withLock } from '../../src/block/index.js';
import { inspectStore, openStore } from '../../src/nvram/index.js';
import type { MigrationOptions } from '../../src/server/index.js';
import { systemEntropy as entropy } from '../../src/system.js';
import { type More, newImage } from '../machine/_machines.js';
import { type Controlled, controlled } from './_control.js';
import { receive } from './_tpm-socket.js';

const INIT = '00000002 00000000';
const INIT_RESUMED = '00000002 00000001';
const STOP = '0000000e';
const LOCK_STORAGE = '00000013 00000000';
const SUCCESS = '00000000';
const FAIL = '00000009';
const ABSENT = '00000800';
const EXTEND = '00c1 00000022 00000014 00000000 0102030405060708090a0b0c0d0e0f1011121314';
const PCR_READ = '00c1 0000000e 00000015 00000000';
/** TSC_PhysicalPresence (command enabled, present) and TPM_PhysicalDisable: they change the permanent state. */
const CHANGE = [
  '00c1 0000000c 4000000a 0020',
  '00c1 0000000c 4000000a 0008',
  '00c1 0000000a 00000070',
];
const TPM_FAIL = '00c40000000a00000009';

const OUT: MigrationOptions = { releaseLockOutgoing: true };
const IN: MigrationOptions = { incoming: true, releaseLockOutgoing: true };

interface Vm {
  readonly server: Controlled;
  readonly control: ControlClient;
  readonly data: Socket;
  /** The response to a TPM command. */
  tpm(command: string): Promise<string>;
}

function made(t: ExecutionContext): string {
  const path = join(scratch(t), 'tpm.qcow2');
  newImage(path);
  return path;
}

async function connected(server: Controlled): Promise<Vm> {
  const control = await server.open();
  const { data } = await control.setDataFd();
  const tpm = (command: string): Promise<string> => {
    data.write(hex(command));
    // A response is one write.
    return receive(data, 10);
  };
  return { server, control, data, tpm };
}

async function vmOn(
  t: ExecutionContext,
  path: string,
  migration: MigrationOptions,
  more: More = {},
): Promise<Vm> {
  return connected(await serverOn(t, path, migration, more));
}

const serverOn = (
  t: ExecutionContext,
  path: string,
  migration: MigrationOptions,
  more: More = {},
): Promise<Controlled> =>
  controlled(t, { migration, openImage: () => openImage(path) }, undefined, more);

/** A source that runs, with a measurement in PCR 0. */
async function started(
  t: ExecutionContext,
  path: string,
  migration: MigrationOptions = OUT,
): Promise<Vm> {
  const vm = await vmOn(t, path, migration);
  t.is(await vm.control.ask(INIT), SUCCESS);
  t.is((await vm.tpm('00c1 0000000c 00000099 0001')).slice(12), '00000000');
  await vm.tpm(EXTEND);
  return vm;
}

/** The blobs in the order in which QEMU reads them; the last one hands the image over. */
async function saved(t: ExecutionContext, { control }: Vm): Promise<string[]> {
  const blobs: string[] = [];
  for (const type of [1, 2]) {
    const response = await control.ask(`0000000c 00000001 0000000${type} 00000000`);
    t.is(response.slice(0, 8), SUCCESS);
    blobs.push(response.slice(32));
  }
  t.is((await control.ask('0000000c 00000001 00000003 00000000')).slice(0, 8), ABSENT);
  return blobs;
}

const setBlob = ({ control }: Vm, type: number, blob: string): Promise<string> =>
  control.ask(
    `0000000d 00000000 0000000${type} ${(blob.length / 2).toString(16).padStart(8, '0')} ${blob}`,
  );

/** Loads the blobs as QEMU does; the response to INIT. */
async function loaded(t: ExecutionContext, vm: Vm, blobs: readonly string[]): Promise<string> {
  t.is(await vm.control.ask(STOP), SUCCESS);
  for (const [at, blob] of blobs.entries()) t.is(await setBlob(vm, at + 1, blob), SUCCESS);
  return vm.control.ask(INIT_RESUMED);
}

/** What the image says, beside the machines that use it. */
function stored(path: string) {
  using image = openImage(path);
  using _guard = takeGuard(image, 'incoming');
  const { verdict, state } = withLock(image, undefined, disk => inspectStore(disk));
  return { verdict, mark: state?.ackRecord?.state, epoch: state?.directory.epoch };
}

test('the source hands over with its last blob, and the destination runs on; the source has no TPM then', async t => {
  const path = made(t);
  const source = await started(t, path);
  const pcr = await source.tpm(PCR_READ);
  const target = await vmOn(t, path, IN);
  const { epoch } = stored(path);
  const blobs = await saved(t, source);
  t.like(stored(path), { mark: 'handed-over', epoch });
  t.is(await loaded(t, target, blobs), SUCCESS);
  t.like(stored(path), { mark: 'open', epoch: epoch! + 1 });
  t.is(await target.tpm(PCR_READ), pcr);
  t.is(await source.tpm(PCR_READ), TPM_FAIL);
  t.is(await source.control.ask(LOCK_STORAGE), FAIL);
  t.is(await source.control.ask('0000000c 00000001 00000001 00000000'), FAIL);
  t.is(await source.control.ask(STOP), SUCCESS);
  t.is(await source.control.ask(INIT), FAIL);
  t.is(await source.tpm(PCR_READ), TPM_FAIL);
  t.is(await target.tpm(PCR_READ), pcr);
  const said = source.server.notices.join('\n');
  t.regex(said, /handed over/);
  t.regex(said, /CMD_LOCK_STORAGE was answered 0x9: .*the destination of the migration has taken/);
});

for (const [what, take] of [
  ['LOCK_STORAGE', async (vm: Vm) => vm.control.ask(LOCK_STORAGE)],
  ['the next command', async (vm: Vm) => (await vm.tpm(PCR_READ)).slice(12, 20)],
  ['INIT', async (vm: Vm) => vm.control.ask(INIT)],
] as const) {
  test(`the source takes the image back on ${what}; a destination that comes too late is refused`, async t => {
    const path = made(t);
    const source = await started(t, path);
    const target = await vmOn(t, path, IN);
    const { epoch } = stored(path);
    const blobs = await saved(t, source);
    t.is(await take(source), SUCCESS);
    t.like(stored(path), { mark: 'open', epoch });
    // The source holds the image.
    t.is(await loaded(t, target, blobs), FAIL);
    t.is(await target.tpm(PCR_READ), TPM_FAIL);
    // And when it has ended, its state is not the one that arrives.
    await ended(source);
    t.like(stored(path), { mark: 'clean' });
    t.is(await loaded(t, target, blobs), FAIL);
    t.regex(target.server.notices.at(-1)!, /the store is handed over, and was not taken back/);
    t.is(await target.tpm(PCR_READ), TPM_FAIL);
  });
}

/** Ends a virtual machine, and waits until its server has released the image. */
async function ended({ server, control }: Vm): Promise<void> {
  const isReleased = (sentence: string): boolean => sentence.includes('its image released');
  const before = server.notices.filter(isReleased).length;
  control.close();
  while (server.notices.filter(isReleased).length === before) {
    await new Promise(resolve => setImmediate(resolve));
  }
}

test('a state that is older than what was handed over is refused', async t => {
  const path = made(t);
  const source = await started(t, path);
  const older = await saved(t, source);
  for (const command of CHANGE) await source.tpm(command);
  t.notDeepEqual(await saved(t, source), older);
  const target = await vmOn(t, path, IN);
  t.is(await loaded(t, target, older), FAIL);
  t.regex(target.server.notices.at(-1)!, /not so: the permanent blob is the one in the store/);
  t.is(await source.control.ask(LOCK_STORAGE), SUCCESS);
});

test('a blob that is damaged after the start is found when the state arrives, and the source runs on', async t => {
  const path = made(t);
  const source = await started(t, path);
  const pcr = await source.tpm(PCR_READ);
  const target = await vmOn(t, path, IN);
  const blobs = await saved(t, source);
  flipPermanentState(path);
  t.is(await target.control.ask(STOP), SUCCESS);
  t.is(await setBlob(target, 1, blobs[0]!), FAIL);
  t.regex(target.server.notices.at(-1)!, /CMD_SET_STATEBLOB was answered 0x9: .*digest is wrong/);
  t.is(await source.control.ask(LOCK_STORAGE), SUCCESS);
  t.is(await source.tpm(PCR_READ), pcr);
});

test('damage that the source finds is for the destination to refuse: QEMU 7.2 hangs when a blob is refused', async t => {
  const path = made(t);
  const source = await started(t, path);
  flipPermanentState(path);
  const [permanent] = await saved(t, source);
  t.regex(source.server.notices.join('\n'), /the permall blob is sent as an unusable one/);
  t.regex(source.server.notices.join('\n'), /the image is not handed over/);
  const target = await vmOn(t, made(t), IN);
  t.not(await setBlob(target, 1, permanent!), SUCCESS);
  t.is(await source.control.ask(LOCK_STORAGE), SUCCESS);
  t.is((await source.tpm(PCR_READ)).slice(12, 20), SUCCESS);
});

test('the destination ends at its start with the fault of the image; the source notices nothing', async t => {
  const path = made(t);
  const source = await started(t, path);
  const pcr = await source.tpm(PCR_READ);
  const fault = async (more: More = {}): Promise<unknown> => {
    const error = await t.throwsAsync(serverOn(t, path, IN, more));
    return (error as Error & { outcome?: unknown }).outcome;
  };
  const repair = flipPermanentState(path);
  t.is(await fault(), 'CORRUPT');
  repair();
  t.is(await fault({ key: { kind: 'key', bytes: new Uint8Array(32) } }), 'WRONG_KEY');
  t.is(await source.tpm(PCR_READ), pcr);
  const target = await vmOn(t, path, IN);
  t.is(await loaded(t, target, await saved(t, source)), SUCCESS);
});

test('a permanent state that no engine loads is found at the start', async t => {
  const path = made(t);
  using image = openImage(path);
  const store = withLock(image, undefined, disk => openStore(disk, { entropy }).activate());
  store.store('permall', Uint8Array.of(1, 2, 3));
  store.close();
  const error = await t.throwsAsync(serverOn(t, path, IN));
  t.is((error as Error & { outcome?: unknown }).outcome, 'CORRUPT');
});

test('an image that was never used takes what arrives; truncated, it is IMAGE', async t => {
  const path = made(t);
  const source = await started(t, made(t));
  const target = await vmOn(t, path, IN);
  t.is(await loaded(t, target, await saved(t, source)), SUCCESS);
  const short = made(t);
  truncateSync(short, 100_000);
  const error = await t.throwsAsync(serverOn(t, short, IN));
  t.is((error as Error & { outcome?: unknown }).outcome, 'IMAGE');
});

test('a destination that ends before INIT has changed nothing', async t => {
  const path = made(t);
  const source = await started(t, path);
  const pcr = await source.tpm(PCR_READ);
  const target = await vmOn(t, path, IN);
  const blobs = await saved(t, source);
  const before = stored(path);
  await setBlob(target, 1, blobs[0]!);
  await ended(target);
  t.deepEqual(stored(path), before);
  t.is(await source.control.ask(LOCK_STORAGE), SUCCESS);
  t.is(await source.tpm(PCR_READ), pcr);
});

test('a source that ends after the hand-over leaves the image to the destination', async t => {
  const path = made(t);
  const source = await started(t, path);
  const pcr = await source.tpm(PCR_READ);
  const target = await vmOn(t, path, IN);
  const blobs = await saved(t, source);
  await ended(source);
  t.like(stored(path), { mark: 'handed-over' });
  t.is(await loaded(t, target, blobs), SUCCESS);
  t.is(await target.tpm(PCR_READ), pcr);
});

test('a machine migrates away and back, to the same two servers', async t => {
  const path = made(t);
  let from = await started(t, path, IN);
  const pcr = await from.tpm(PCR_READ);
  let other = await serverOn(t, path, IN);
  for (let times = 0; times < 4; times += 1) {
    const to = await connected(other);
    t.is(await loaded(t, to, await saved(t, from)), SUCCESS);
    t.is(await to.tpm(PCR_READ), pcr);
    t.is(await from.control.ask(LOCK_STORAGE), FAIL);
    await ended(from);
    other = from.server;
    from = to;
  }
});

test('LOCK_STORAGE: idempotent while the image is held, refused before INIT, and it waits for the lock', async t => {
  const path = made(t);
  const idle = await vmOn(t, path, OUT);
  t.is(await idle.control.ask(LOCK_STORAGE), FAIL);
  await ended(idle);
  const source = await started(t, path);
  for (let times = 0; times < 100; times += 1) {
    t.is(await source.control.ask('00000013 0000012c'), SUCCESS);
  }
  await saved(t, source);
  using image = openImage(path);
  using _guard = takeGuard(image, 'incoming');
  const held = image.tryLock()!;
  t.is(await source.control.ask(LOCK_STORAGE), FAIL);
  t.is(await source.tpm(PCR_READ), TPM_FAIL);
  const waiting = source.control.ask('00000013 ffffffff');
  await new Promise(resolve => setImmediate(resolve));
  held.release();
  t.is(await waiting, SUCCESS);
  t.is((await source.tpm(PCR_READ)).slice(12, 20), SUCCESS);
});

test('a snapshot: saved, taken back, changed, loaded again; the roll-back is a new generation', async t => {
  const path = made(t);
  const vm = await started(t, path);
  const pcr = await vm.tpm(PCR_READ);
  const blobs = await saved(t, vm);
  t.is(await vm.control.ask(LOCK_STORAGE), SUCCESS);
  for (const command of [EXTEND, ...CHANGE]) await vm.tpm(command);
  t.not(await vm.tpm(PCR_READ), pcr);
  t.is(await vm.control.ask(STOP), SUCCESS);
  t.is(await vm.control.ask(INIT), SUCCESS);
  t.is(await loaded(t, vm, blobs), SUCCESS);
  t.is(await vm.tpm(PCR_READ), pcr);
  t.is(stored(path).verdict, 'OK');
});

test('without release-lock-outgoing the source keeps the image, and the destination is refused', async t => {
  const path = made(t);
  const source = await vmOn(t, path, {});
  await source.control.ask(INIT);
  await source.tpm('00c1 0000000c 00000099 0001');
  const target = await vmOn(t, path, { incoming: true });
  const blobs = await saved(t, source);
  t.is(await loaded(t, target, blobs), FAIL);
  t.regex(target.server.notices.at(-1)!, /CMD_INIT was answered 0x9: .*is in use/);
  t.is((await source.tpm(PCR_READ)).slice(12, 20), SUCCESS);
});
