/** A TPM behind a socket: failures of the disk, bugs, and the end. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { hex, scratch } from '../../lab/files.js';
import { nvtpm } from '../../lab/program/cli.js';
import { Client, Serving } from '../../lab/program/serving.js';
import { type BlockNode, openFile, withLock } from '../../src/block/index.js';
import { IoError, Tpm12 } from '../../src/index.js';
import { type Inspection, inspectStore, NvramError } from '../../src/nvram/index.js';
import { type ServeEnding, serveMachine } from '../../src/server/index.js';
import { systemClock as clock, systemEntropy as entropy } from '../../src/system.js';
import { type Fault, FaultNode } from '../../src/testing/index.js';
import { blankDisk, inStore, machineOn } from '../machine/_machines.js';
import { pipelined } from './_tpm-socket.js';

const PCR_READ = '00c1 0000000e 00000015 00000000';
const CMD_ENABLE = '00c1 0000000c 4000000a 0020';
const PRESENT = '00c1 0000000c 4000000a 0008';
const DISABLE = '00c1 0000000a 00000070';
const SELF_TEST_FULL = '00c1 0000000a 00000050';
const done = (result: number): string => `00c40000000a${result.toString(16).padStart(8, '0')}`;

const inspected = (disk: BlockNode): Inspection =>
  withLock(disk, undefined, locked => inspectStore(locked));

/** A TPM on a disk that does as `faults` says; they may be added while it runs. */
async function started(t: ExecutionContext, engine?: () => Tpm12) {
  const path = join(scratch(t), 'tpm.sock');
  const disk = blankDisk();
  const faults: Fault[] = [];
  const image = new FaultNode(disk, faults);
  const quit = new AbortController();
  let ended!: Promise<ServeEnding>;
  await new Promise<unknown>((ready, failed) => {
    ended = serveMachine({
      server: { address: { type: 'unixio', path } },
      control: undefined,
      on: true,
      startup: 'clear',
      terminate: false,
      openImage: () => image,
      machine: image => machineOn(image, engine === undefined ? {} : { engine }),
      signal: quit.signal,
      ready,
    });
    ended.catch(failed);
  });
  const client = new Client(path);
  t.teardown(() => client.close());
  return { path, disk, image, faults, client, ended, quit: () => quit.abort() };
}

test('on a full disk a command gets TPM_FAIL, the next ones TPM_FAILEDSELFTEST, and the end is that failure', async t => {
  const { disk, image, faults, client, ended, quit, path } = await started(t);
  for (const command of [CMD_ENABLE, PRESENT]) t.is(await client.ask(command), done(0));
  const effect = { kind: 'error', errno: 'ENOSPC' } as const;
  faults.push({
    on: 'write',
    nth: image.counts.write + 1,
    times: Number.POSITIVE_INFINITY,
    effect,
  });
  t.is(await client.ask(DISABLE), done(9));
  for (const command of [DISABLE, PCR_READ]) t.is(await client.ask(command), done(0x1c));
  const { generation } = inspected(disk).state!.directory;
  quit();
  t.is((await t.throwsAsync<IoError>(ended, { instanceOf: IoError }))?.errno, 'ENOSPC');
  const { verdict, state } = inspected(disk);
  t.is(verdict, 'OK');
  t.is(state?.directory.generation, generation);
  t.false(existsSync(path));
});

test('an exception of the engine ends it, and nothing more is written', async t => {
  class Buggy extends Tpm12 {
    override process(command: Uint8Array, locality: number): Uint8Array {
      if (command[9] === 0x15) throw new RangeError('a bug');
      return super.process(command, locality);
    }
  }
  const { disk, client, ended, path } = await started(t, () => new Buggy({ entropy, clock }));
  const ending = t.throwsAsync(ended, { instanceOf: RangeError, message: 'a bug' });
  t.is(await client.ask(PCR_READ), '');
  await ending;
  await client.ended();
  t.false(existsSync(path));
  t.like(inspected(disk), { verdict: 'OK', state: { ackRecord: { state: 'open' } } });
});

test('a TPM whose store another instance has taken over ends with FENCED', async t => {
  const { disk, client, ended } = await started(t);
  const ending = t.throwsAsync(ended, { instanceOf: NvramError, code: 'FENCED' });
  // Any activation is a later epoch; a simulated disk has no guard.
  inStore(disk, () => {});
  void client.ask(CMD_ENABLE);
  await ending;
});

test('a signal before the start makes a TPM all the same, and ends in order', async t => {
  const disk = blankDisk();
  const { reason } = await serveMachine({
    server: { address: { type: 'tcp', port: 0 } },
    control: undefined,
    on: true,
    startup: undefined,
    terminate: false,
    openImage: () => disk,
    machine: machineOn,
    signal: AbortSignal.abort(),
    ready: () => {},
  });
  t.is(reason, 'host-signal');
  t.like(inspected(disk), { verdict: 'OK', state: { ackRecord: { state: 'clean' } } });
});

test('a file that cannot be opened is the error, and no socket is left', async t => {
  const path = join(scratch(t), 'tpm.sock');
  const missing = join(scratch(t), 'missing');
  const ended = serveMachine({
    server: { address: { type: 'unixio', path } },
    control: undefined,
    on: true,
    startup: 'clear',
    terminate: false,
    openImage: () => openFile(missing),
    machine: machineOn,
    signal: new AbortController().signal,
    ready: () => t.fail(),
  });
  await t.throwsAsync(ended, { name: 'IoError', message: /ENOENT/ });
  t.false(existsSync(path));
});

test('a signal ends it after the command that runs, and those that wait are discarded', async t => {
  let ran = 0;
  let signal = (): void => {};
  class Counting extends Tpm12 {
    override process(command: Uint8Array, locality: number): Uint8Array {
      if (command[9] === 0x50) {
        ran += 1;
        // As a signal arrives: by the event loop.
        if (ran === 1) setImmediate(signal);
      }
      return super.process(command, locality);
    }
  }
  const { path, disk, ended, quit } = await started(t, () => new Counting({ entropy, clock }));
  signal = quit;
  const client = connect(path);
  t.teardown(() => client.destroy());
  client.on('error', () => client.destroy()).resume();
  client.write(pipelined(hex(SELF_TEST_FULL), 6000));
  t.is((await ended).reason, 'host-signal');
  t.true(ran < 20, `${ran} commands were run`);
  t.like(inspected(disk), { verdict: 'OK', state: { ackRecord: { state: 'clean' } } });
});

test('SIGTERM ends a process to which a client has sent 6,500 commands at once', async t => {
  const image = join(scratch(t), 'tpm.qcow2');
  nvtpm(['create', image]);
  const flags = ['--server', 'type=tcp,port=0', '--flags', 'startup-clear'];
  const server = await Serving.start(image, ...flags);
  const client = connect(Number(server.at), '127.0.0.1');
  t.teardown(() => client.destroy());
  client.on('error', () => client.destroy());
  let bytes = 0;
  client.on('data', chunk => {
    bytes += chunk.length;
  });
  client.write(pipelined(hex(SELF_TEST_FULL), 6500));
  await once(client, 'data');
  const { exit, err } = await server.stop();
  t.is(exit, 0, err);
  t.true(bytes < 6500 * 10, 'it did not run all of them');
});
