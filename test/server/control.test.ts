/** The control channel: each message in each state, descriptors, clients, and the end of a virtual machine. */
import { openSync } from 'node:fs';
import { connect } from 'node:net';
import test from 'ava';
import { hex, toHex } from '../../lab/files.js';
import { ControlClient } from '../../lab/peers/control.js';
import { sendWith, socketPair } from '../../lab/peers/descriptors.js';
import { type BlockNode, withLock } from '../../src/block/index.js';
import { inspectStore } from '../../src/nvram/index.js';
import type { TraceEvent } from '../../src/trace.js';
import { blankDisk, inStore, machineOn } from '../machine/_machines.js';
import { controlled } from './_control.js';
import { SCRIPT, SCRIPT_STARTED } from './_control-script.js';
import { receive, STARTUP } from './_tpm-socket.js';

const INIT = '00000002 00000000';
const STOP = '0000000e';
const CAPABILITY = '00000001';
const CAPABILITIES = '0000000000017fbf';
const PROBE_20 = hex('8001 0000000a 00000181');
const PROBE_12 = hex('00c1 0000000a 000000f1');
const PCR_READ = hex('00c1 0000000e 00000015 00000000');
const TPM_FAIL = '00c40000000a00000009';
const DONE = '00c40000000a00000000';
const compact = (text: string): string => text.replaceAll(' ', '');

test('each message in each state is answered as swtpm 0.7.1 was seen to answer', async t => {
  const { open } = await controlled(t);
  const client = await open();
  const { data, response } = await client.setDataFd();
  t.is(response, '00000000');
  for (const { title, message, response, ours = response } of SCRIPT) {
    const expected = compact(ours);
    t.is((await client.ask(message)).slice(0, expected.length), expected, title);
  }
  data.write(STARTUP);
  t.is(await receive(data, 10), DONE);
  for (const { title, message, response, ours = response } of SCRIPT_STARTED) {
    const expected = compact(ours);
    t.is((await client.ask(message)).slice(0, expected.length), expected, title);
  }
  data.destroy();
});

test('the data channel answers TPM_FAIL to both probes while the TPM is off, and commands after INIT', async t => {
  const { open } = await controlled(t);
  const client = await open();
  const { data } = await client.setDataFd();
  for (const probe of [PROBE_20, PROBE_12]) {
    data.write(probe);
    t.is(await receive(data, 10), TPM_FAIL);
  }
  t.is(await client.ask(INIT), '00000000');
  data.write(STARTUP);
  t.is(await receive(data, 10), DONE);
  t.is(await client.ask(STOP), '00000000');
  data.write(PCR_READ);
  t.is(await receive(data, 10), TPM_FAIL);
  data.destroy();
});

test('a message may arrive byte by byte, and several in one write', async t => {
  const { open } = await controlled(t);
  const client = await open();
  for (const byte of hex(CAPABILITY).slice(0, 3)) {
    client.socket.write(Uint8Array.of(byte));
    await new Promise(resolve => setImmediate(resolve));
  }
  client.socket.write(Uint8Array.of(1));
  t.is(toHex(await client.response(1)), CAPABILITIES);
  client.socket.write(hex(CAPABILITY + STOP + CAPABILITY));
  for (const [number, response] of [
    [1, CAPABILITIES],
    [14, '00000000'],
    [1, CAPABILITIES],
  ] as const) {
    t.is(toHex(await client.response(number)), response);
  }
});

test('a length beyond the limit is refused before its bytes arrive, and ends the connection', async t => {
  const { open, notices } = await controlled(t);
  for (const [number, message] of [
    [7, '00000007 00000ff9'],
    [13, '0000000d 00000000 00000001 ffffffff'],
  ] as const) {
    const client = await open();
    client.socket.write(hex(message));
    t.is(toHex(await client.response(number)), '00000003');
    await client.closed();
  }
  t.regex(notices.join('\n'), /CMD_SET_STATEBLOB was answered 0x3: it claims 4294967295 bytes/);
});

test('a second client is turned away while a virtual machine is connected', async t => {
  const { open, notices } = await controlled(t);
  const vm = await open();
  const { data } = await vm.setDataFd();
  const second = await open();
  await second.closed();
  t.regex(notices.join('\n'), /a second control client was turned away/);
  t.is(await vm.ask(CAPABILITY), CAPABILITIES);
  data.destroy();
});

test('a connection that sends nothing keeps no client out', async t => {
  const { open } = await controlled(t);
  const silent = await open();
  const client = await open();
  t.is(await client.ask(CAPABILITY), CAPABILITIES);
  await silent.closed();
});

test('tools connect for one message after another, and the TPM stays as they leave it', async t => {
  const { open } = await controlled(t);
  for (let times = 0; times < 50; times += 1) {
    const client = await open();
    t.is(await client.ask(times % 2 === 0 ? INIT : STOP), '00000000');
    client.close();
  }
});

test('the end of a virtual machine powers off and releases the image; the next one finds its state', async t => {
  const { open, disk, path } = await controlled(t);
  const vm = await open();
  const { data } = await vm.setDataFd();
  t.is(await vm.ask(INIT), '00000000');
  data.write(STARTUP);
  await receive(data, 10);
  const permanent = await vm.ask('0000000c 00000001 00000001 00000000');
  vm.close();
  const dataClosed = new Promise(resolve => data.once('close', resolve));
  data.resume();
  await dataClosed;
  const next = await ControlClient.open(path);
  await next.setDataFd();
  // Closed in order.
  const { state } = withLock(disk, undefined, locked => inspectStore(locked));
  t.is(state?.ackRecord?.state, 'clean');
  t.is(await next.ask(INIT), '00000000');
  t.is(await next.ask('0000000c 00000001 00000001 00000000'), permanent);
  next.close();
});

test('SHUTDOWN is answered, and ends the server in order', async t => {
  const { open, ended } = await controlled(t);
  const client = await open();
  t.is(await client.ask(INIT), '00000000');
  t.is(await client.ask('00000003'), '00000000');
  t.is((await ended).reason, 'control-shutdown');
});

test('descriptors: extra ones are closed, one that is no socket and one over TCP are refused', async t => {
  const { open, notices } = await controlled(t);
  const file = await open();
  sendWith(file.socket, hex('00000010'), [openSync('/dev/null', 'r')]);
  t.is(toHex(await file.response(16)), '0000001f');
  file.close();
  const other = await open();
  const [mine, theirs] = socketPair();
  sendWith(other.socket, hex(CAPABILITY), [mine, theirs]);
  t.is(toHex(await other.response(1)), CAPABILITIES);
  t.is(await other.ask('00000010'), '0000001f');
  other.close();
  t.regex(notices.join('\n'), /the descriptor is not a stream socket/);
  const tcp = await controlled(t, { control: { address: { type: 'tcp', port: 0 } } });
  const client = await ControlClient.open(tcp.listening.controlPort!);
  t.is(await client.ask('00000010'), '0000001f');
  t.is(await client.ask(CAPABILITY), CAPABILITIES);
  client.close();
});

test('locality: SET_LOCALITY is that of later commands, a reset keeps it, and 4 can be rejected', async t => {
  const { open, path } = await controlled(t, {});
  const client = await open();
  const { data } = await client.setDataFd();
  await client.ask(INIT);
  // TSC_ResetEstablishmentBit needs locality 3 or 4.
  const reset = hex('00c1 0000000a 4000000b');
  data.write(STARTUP);
  await receive(data, 10);
  for (const [locality, result] of [
    ['00', '3d'],
    ['03', '00'],
  ] as const) {
    await client.ask(`00000005 ${locality}000000`);
    data.write(reset);
    t.is(await receive(data, 10), `00c40000000a000000${result}`);
  }
  await client.ask(STOP);
  await client.ask(INIT);
  data.write(STARTUP);
  await receive(data, 10);
  data.write(reset);
  t.is(await receive(data, 10), DONE);
  data.destroy();
  const strict = await controlled(t, {
    control: { address: { type: 'unixio', path: `${path}-2` }, rejectLocality4: true },
  });
  const other = await ControlClient.open(`${path}-2`);
  t.is(await other.ask('00000005 04000000'), '0000003d');
  t.is(await other.ask('00000005 03000000'), '00000000');
  t.regex(strict.notices.join('\n'), /locality 4 is rejected/);
  other.close();
});

test('state blobs move a TPM, running, into an empty image', async t => {
  const source = await controlled(t);
  const from = await source.open();
  const { data } = await from.setDataFd();
  await from.ask(INIT);
  data.write(STARTUP);
  await receive(data, 10);
  data.write(hex('00c1 00000022 00000014 00000000 0102030405060708090a0b0c0d0e0f1011121314'));
  const extended = (await receive(data, 30)).slice(20);
  const blobs = [];
  for (const type of [1, 2]) {
    blobs.push((await from.ask(`0000000c 00000001 0000000${type} 00000000`)).slice(32));
  }
  data.destroy();
  const target = await controlled(t);
  const to = await target.open();
  const channel = (await to.setDataFd()).data;
  for (const [i, blob] of blobs.entries()) {
    const length = (blob.length / 2).toString(16).padStart(8, '0');
    t.is(await to.ask(`0000000d 00000000 0000000${i + 1} ${length} ${blob}`), '00000000');
  }
  t.is(await to.ask('00000002 00000001'), '00000000');
  channel.write(PCR_READ);
  t.is((await receive(channel, 30)).slice(20), extended);
  channel.destroy();
});

test('hostile state blobs are refused, and nothing of them reaches the image', async t => {
  const source = await controlled(t, { on: true });
  const from = await source.open();
  const blob = hex((await from.ask('0000000c 00000001 00000001 00000000')).slice(32));
  const disk = blankDisk();
  const before = toHex(disk.peek(0, disk.length));
  const target = await controlled(t, {}, disk);
  const to = await target.open();
  const send = async (bytes: Uint8Array, type = 1): Promise<string> => {
    const length = bytes.length.toString(16).padStart(8, '0');
    return to.ask(`0000000d 00000000 0000000${type} ${length} ${toHex(bytes)}`);
  };
  const changed = (at: number, to: number): Uint8Array => blob.with(at, to);
  for (const [what, bytes] of [
    ['length of the head', changed(3, 11)],
    ['total length', changed(9, blob[9]! ^ 1)],
    ['tag', changed(11, 9)],
    ['length of the outer tag', changed(15, blob[15]! ^ 1)],
    ['length of the inner tag', changed(21, blob[21]! ^ 1)],
    ['a short one', blob.slice(0, 9)],
    ['cut off', blob.slice(0, -1)],
    ['a flipped bit of the TPM', changed(blob.length - 10, blob.at(-10)! ^ 1)],
  ] as const) {
    t.is(await send(bytes), '00000003', what);
  }
  t.is(await send(changed(1, 3)), '0000002e', 'for a later reader');
  t.is(await send(changed(5, 0x16)), '0000000d', 'encrypted');
  t.is(await send(blob, 2), '00000003', 'a volatile blob without a permanent one');
  t.is(toHex(disk.peek(0, disk.length)), before);
});

test('a state of another TPM than the one in the image is refused by INIT, and the image is unchanged', async t => {
  const source = await controlled(t, { on: true, startup: 'clear' });
  const from = await source.open();
  const foreign = (await from.ask('0000000c 00000001 00000001 00000000')).slice(32);
  const disk = blankDisk();
  const machine = machineOn(disk);
  machine.powerOn();
  machine.process(STARTUP);
  // TPM_CreateEndorsementKeyPair: the TPM of the image is one that a state can differ from.
  const ek = hex(
    '00c1 00000036 00000078 0102030405060708090a0b0c0d0e0f1011121314 00000001 0003 0001 0000000c 00000800 00000002 00000000',
  );
  t.is(toHex(machine.process(ek).slice(0, 10)).slice(-8), '00000000');
  machine.powerOff();
  const before = withLock(disk, undefined, locked => inspectStore(locked));
  const target = await controlled(t, {}, disk);
  const to = await target.open();
  const length = (foreign.length / 2).toString(16).padStart(8, '0');
  t.is(await to.ask(`0000000d 00000000 00000001 ${length} ${foreign}`), '00000000');
  t.is(await to.ask(INIT), '00000009');
  t.regex(target.notices.join('\n'), /CMD_INIT was answered 0x9: .*another TPM/);
  const after = withLock(disk, undefined, locked => inspectStore(locked));
  t.is(after.state?.directory.generation, before.state?.directory.generation);
  // The TPM of the image runs all the same.
  t.is(await to.ask(INIT), '00000000');
});

/** TPM_CreateEndorsementKeyPair of RSA 2048. */
const CREATE_EK = hex(
  '00c1 00000036 00000078 0102030405060708090a0b0c0d0e0f1011121314 00000001 0003 0001 0000000c 00000800 00000002 00000000',
);
/** Of TPM_ReadPubek without an Endorsement Key: TPM_NO_ENDORSEMENT. */
const NO_ENDORSEMENT = '00c40000000a00000023';
const READ_PUBEK = hex('00c1 0000001e 0000007c 0102030405060708090a0b0c0d0e0f1011121314');

test('a machine rolls its TPM back to before the EK, not to another TPM; the trace has it', async t => {
  const disk = blankDisk();
  const events: TraceEvent[] = [];
  const machine = (image: BlockNode) => machineOn(image, { trace: event => events.push(event) });
  const { open, notices } = await controlled(t, { machine }, disk);
  const client = await open();
  const { data } = await client.setDataFd();
  const permanent = async (): Promise<string> =>
    (await client.ask('0000000c 00000001 00000001 00000000')).slice(32);
  const reset = async (): Promise<void> => {
    t.is(await client.ask(STOP), '00000000');
    t.is(await client.ask(INIT), '00000000');
  };
  /** As QEMU's loadvm: a reset, and then the state. */
  const load = async (blob: string): Promise<string> => {
    await reset();
    t.is(await client.ask(STOP), '00000000');
    const length = (blob.length / 2).toString(16).padStart(8, '0');
    t.is(await client.ask(`0000000d 00000000 00000001 ${length} ${blob}`), '00000000');
    return client.ask('00000002 00000001');
  };
  const createEk = async (): Promise<string> => {
    data.write(STARTUP);
    t.is(await receive(data, 10), DONE);
    data.write(CREATE_EK);
    t.is((await receive(data, 314)).slice(12, 20), '00000000');
    return permanent();
  };

  t.is(await client.ask(INIT), '00000000');
  const blank = await permanent();
  const first = await createEk();
  t.is(await load(blank), '00000000');
  data.write(STARTUP);
  t.is(await receive(data, 10), DONE);
  data.write(READ_PUBEK);
  t.is(await receive(data, 10), NO_ENDORSEMENT);
  t.is(await load(first), '00000000');
  const origins = events.flatMap(event => (event.event === 'adopt' ? [event.origin] : []));
  t.deepEqual(origins, ['roll-back', 'roll-back']);

  t.is(await load(blank), '00000000');
  await reset();
  await createEk();
  t.is(await load(first), '00000009');
  t.regex(notices.join('\n'), /CMD_INIT was answered 0x9: .*another TPM/);
  data.destroy();
});

test('INIT of a damaged image is answered with a code and a sentence, and no command runs', async t => {
  const disk = blankDisk();
  inStore(disk, store => store.commit(new Map([['permall', Uint8Array.of(1, 2, 3)]])));
  const { open, notices } = await controlled(t, {}, disk);
  const client = await open();
  const { data } = await client.setDataFd();
  t.is(await client.ask(INIT), '00000009');
  t.regex(notices.join('\n'), /CMD_INIT was answered 0x9: /);
  data.write(STARTUP);
  t.is(await receive(data, 10), TPM_FAIL);
  data.destroy();
});

test('a half message that stays incomplete is closed by its deadline', async t => {
  const { path } = await controlled(t);
  const socket = connect(path);
  t.teardown(() => socket.destroy());
  socket.end(hex('000000'));
  // Its end closes it at once: there is nothing to wait for.
  t.is(await receive(socket, 1), '');
});
