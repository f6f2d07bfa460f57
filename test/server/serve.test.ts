/** A machine behind a socket when something goes wrong: with the disk, or with us. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { Client } from '../../lab/program/serving.js';
import { type BlockNode, openFile, withLock } from '../../src/block/index.js';
import { IoError, Tpm12 } from '../../src/index.js';
import { type Inspection, inspectStore, NvramError } from '../../src/nvram/index.js';
import { type ServeEnding, serveMachine } from '../../src/server/index.js';
import { systemClock as clock, systemEntropy as entropy } from '../../src/system.js';
import { type Fault, FaultNode } from '../../src/testing/index.js';
import { blankDisk, inStore, machineOn } from '../machine/_machines.js';

const PCR_READ = '00c1 0000000e 00000015 00000000';
const CMD_ENABLE = '00c1 0000000c 4000000a 0020';
const PRESENT = '00c1 0000000c 4000000a 0008';
const DISABLE = '00c1 0000000a 00000070';
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
      address: { type: 'unixio', path },
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

test('a full disk: TPM_FAIL, failure mode, and the server ends with that failure', async t => {
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

test('a bug of ours ends it with what was thrown, and nothing more is written', async t => {
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

test('a TPM that another instance has taken over ends with FENCED', async t => {
  const { disk, client, ended } = await started(t);
  const ending = t.throwsAsync(ended, { instanceOf: NvramError, code: 'FENCED' });
  // Any activation is a later epoch; a simulated disk has no guard.
  inStore(disk, () => {});
  void client.ask(CMD_ENABLE);
  await ending;
});

test('one that is told to end before it began has made a TPM, and ends in order', async t => {
  const disk = blankDisk();
  const { reason } = await serveMachine({
    address: { type: 'tcp', port: 0 },
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

test('a file that is no image: its fault, and no socket is left', async t => {
  const path = join(scratch(t), 'tpm.sock');
  const missing = join(scratch(t), 'missing');
  const ended = serveMachine({
    address: { type: 'unixio', path },
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
