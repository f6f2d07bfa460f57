/** A trace that throws ends nothing: src/trace.ts. */
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch, toHex } from '../lab/files.js';
import { openImage } from '../src/block/index.js';
import { commands, NV_PER, nvPublic, STARTUP, WELL_KNOWN_SECRET } from '../src/guest/index.js';
import { Tpm12 } from '../src/index.js';
import { accept, Channel, migrate } from '../src/migration/index.js';
import { systemClock as clock, systemEntropy as entropy } from '../src/system.js';
import type { Trace, TraceEvent } from '../src/trace.js';
import { guestOf, machineOn, newImage } from './machine/_machines.js';

const INDEX = 0x0001_1101;

/** Every kind of event; a new one does not compile until it is here. */
const KINDS: Readonly<Record<TraceEvent['event'], true>> = {
  lock: true,
  unlock: true,
  read: true,
  write: true,
  flush: true,
  validate: true,
  commit: true,
  adopt: true,
  failure: true,
  command: true,
  register: true,
  locality: true,
  power: true,
  migrate: true,
};

/** Both ends of a connection, as channels. */
async function channels(t: ExecutionContext, folder: string): Promise<[Channel, Channel]> {
  const path = join(folder, 'socket');
  const server = createServer().listen(path);
  t.teardown(() => server.close());
  const arrived = new Promise<Channel>(resolve =>
    server.once('connection', socket => resolve(new Channel(socket))),
  );
  const left = new Channel(connect(path));
  t.teardown(() => left[Symbol.dispose]());
  const other = await arrived;
  t.teardown(() => other[Symbol.dispose]());
  return [left, other];
}

test('a life, a failure and a migration are the same under a trace that throws at every event', async t => {
  const folder = scratch(t);
  const image = join(folder, 'tpm.qcow2');
  newImage(image);
  const seen = new Set<string>();
  const trace: Trace = event => {
    seen.add(event.event);
    throw new Error('the disk of the trace is full');
  };
  const engine = () => new Tpm12({ entropy, clock, trace });

  using here = openImage(image, { trace });
  const source = machineOn(here, { engine, trace });
  source.powerOn();
  const guest = guestOf(source);
  guest.run(commands.startup(STARTUP.CLEAR));
  guest.run(commands.nvDefineSpace(nvPublic(INDEX, 4, NV_PER.PPWRITE), WELL_KNOWN_SECRET));
  guest.run(commands.nvWriteValue(INDEX, 0, Uint8Array.of(1, 2, 3, 4)));
  source.reset();
  guestOf(source).run(commands.startup(STARTUP.CLEAR));

  using there = openImage(image, { trace });
  const target = machineOn(there, { engine, trace });
  const [left, right] = await channels(t, folder);
  const [end] = await Promise.all([
    migrate(source, left, { trace }),
    accept(target, right, { trace }),
  ]);
  t.is(end.end, 'moved');
  const value = guestOf(target).run(commands.nvReadValue(INDEX, 0, 4));
  t.is(toHex(value), '01020304');
  const permall = target.blob('permall')!;
  target.powerOff();
  target.adopt(new Map([['permall', permall]]), 'migration');
  target.powerOff();

  const failing = engine();
  failing.init({ load: () => undefined, store: () => {}, delete: () => {} });
  t.notThrows(() => failing.hashEnd(), 'a failure of the TPM is reported, and nothing else');
  t.deepEqual([...seen].sort(), Object.keys(KINDS).sort());
});
