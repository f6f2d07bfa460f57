/**
 * The steps of the demonstration. Each runs in a process of its own, so that nothing but the image
 * carries anything from one to the next, and prints its evidence as JSON documents.
 * @module
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { openImage, takeGuard, withLock } from '../../block/index.js';
import type { Machine } from '../../machine/index.js';
import { accept, Channel, migrate, validateIncoming } from '../../migration/index.js';
import { inspectStore, NvramError, type Verdict } from '../../nvram/index.js';
import type { Trace, TraceEvent } from '../../trace.js';
import { type CommonOptions, withImage } from '../images.js';
import { machineOver } from '../machines.js';
import { type Printer, UsageError } from '../output.js';
import { Guest } from './guest.js';

/** What a step is run with. */
export interface Scene {
  readonly path: string;
  readonly common: CommonOptions;
  /** Where a machine that migrates connects to. */
  readonly socket: string;
  readonly printer: Printer;
}

interface Stored {
  readonly generation: number;
  readonly epoch: number;
  /** What the last store did, in order. */
  readonly store: readonly string[];
}

/** What a wrong secret is answered. */
interface Refused {
  readonly result: number;
  readonly name: string;
}

export interface Blank extends Stored {
  readonly before: Verdict;
  readonly ek: string;
}

export interface Owned extends Stored {
  readonly ek: string;
  readonly owned: boolean;
}

export interface Proof extends Owned {
  readonly stranger: Refused;
}

export interface Survived {
  readonly ek: string;
  readonly owned: boolean;
  readonly stranger: Refused;
  readonly nv: string;
}

export interface Damage {
  readonly blob: string;
  readonly byte: number;
  readonly offset: number;
  readonly was: number;
  readonly is: number;
}

export interface Running {
  readonly power: string;
  readonly pcr: string;
}

/** What a machine says of itself; a machine that is gone has its power only. */
export interface Alive {
  readonly power: string;
  readonly pcr?: string;
  readonly ek?: string;
  readonly nv?: string;
  readonly epoch?: number;
}

export interface Left {
  readonly migrated: boolean;
  readonly power: string;
  readonly why?: string | undefined;
}

/** A trace that keeps the events, besides passing them on. */
function recording(trace: Trace): { trace: Trace; events: TraceEvent[] } {
  const events: TraceEvent[] = [];
  return {
    events,
    trace: event => {
      events.push(event);
      trace(event);
    },
  };
}

/** The events of the last store: from its lock to its unlock, in short. */
function lastStore(events: readonly TraceEvent[]): string[] {
  const end = events.findLastIndex(({ event }) => event === 'commit');
  const from = events.findLastIndex(({ event }, at) => event === 'lock' && at < end);
  const to = events.findIndex(({ event }, at) => event === 'unlock' && at > end);
  return events.slice(from, to + 1).flatMap(event => {
    if (event.event === 'lock') return [`lock ${event.type} (${event.flavour})`];
    if (event.event === 'write') return [`write ${event.length} bytes`];
    if (event.event === 'flush') return ['fdatasync'];
    if (event.event === 'commit') return [`generation ${event.generation} is stored`];
    return event.event === 'unlock' ? ['unlock'] : [];
  });
}

/** Powers a machine on, lets a guest act in it, and powers it off. */
function inGuest<T>(
  { path, common }: Scene,
  act: (guest: Guest, machine: Machine, stored: () => Stored) => T,
): T {
  const { trace, events } = recording(common.trace);
  return withImage(path, undefined, { ...common, trace }, image => {
    const machine = machineOver(image, { ...common, trace });
    machine.powerOn();
    const guest = new Guest(machine);
    guest.startup();
    const evidence = act(guest, machine, () => {
      const { generation, epoch } = machine.storeInfo;
      return { generation, epoch, store: lastStore(events) };
    });
    machine.powerOff();
    return evidence;
  });
}

function blank(scene: Scene): Blank {
  const before = withImage(scene.path, 'reader', scene.common, image =>
    withLock(image, undefined, disk => inspectStore(disk).verdict),
  );
  return inGuest(scene, (guest, _, stored) => ({ before, ek: guest.createEk(), ...stored() }));
}

const own = (scene: Scene): Owned =>
  inGuest(scene, (guest, machine, stored) => {
    const ek = guest.readEk();
    guest.takeOwnership();
    return { ek, owned: machine.info.owned, ...stored() };
  });

const prove = (scene: Scene): Proof =>
  inGuest(scene, (guest, machine, stored) => {
    const ek = guest.ownerReadsEk();
    const stranger = guest.useWrongSecret();
    guest.nvDefine();
    guest.nvWrite(1);
    return { ek, owned: machine.info.owned, stranger, ...stored() };
  });

const survived = (scene: Scene): Survived =>
  inGuest(scene, (guest, machine) => ({
    ek: guest.ownerReadsEk(),
    owned: machine.info.owned,
    stranger: guest.useWrongSecret(),
    nv: guest.nvRead(),
  }));

/** Flips one bit in the middle of the stored permall, as a bad disk would: past the image guard. */
function damage({ path }: Scene): Damage {
  using image = openImage(path, { readOnly: false });
  using _beside = takeGuard(image, 'incoming');
  return withLock(image, undefined, disk => {
    const { state } = inspectStore(disk);
    const blob = state?.directory.entries.find(entry => entry.name === 'permall');
    if (blob === undefined) throw new NvramError('EMPTY', path, ['there is no permall to damage']);
    const byte = Math.floor(blob.length / 2);
    const offset = blob.offset + byte;
    const [was = 0] = disk.read(offset, 1);
    const is = was ^ 0x01;
    disk.write(offset, Uint8Array.of(is));
    disk.flush();
    return { blob: blob.name, byte, offset, was, is };
  });
}

/**
 * A machine that runs until the word `off` on standard input; the other words are probe, write and
 * migrate SOCKET. Each is answered by a line of JSON.
 */
async function source({ path, common, printer }: Scene): Promise<Running> {
  using image = openImage(path, { readOnly: false, trace: common.trace });
  const machine = machineOver(image, common);
  machine.powerOn();
  const guest = new Guest(machine);
  guest.startup();
  guest.extend();
  const answer = (evidence: object): void => printer.say(JSON.stringify(evidence));
  const pcr = guest.pcr();
  answer({ power: machine.power, pcr } satisfies Running);
  let writes = 1;
  for await (const line of createInterface({ input: process.stdin })) {
    const [word, argument = ''] = line.split(' ');
    if (word === 'probe') answer(probe(machine, guest));
    if (word === 'write') {
      guest.nvWrite((writes += 1));
      answer({ generation: machine.storeInfo.generation });
    }
    if (word === 'migrate') answer(await leave(machine, argument, common.trace));
    if (word === 'off') break;
  }
  process.stdin.destroy();
  machine.powerOff();
  return { power: machine.power, pcr };
}

/** Whether the machine still runs, and what is in its TPM. */
const probe = (machine: Machine, guest: Guest): Alive =>
  machine.power === 'on'
    ? { power: machine.power, pcr: guest.pcr(), ek: guest.ownerReadsEk(), nv: guest.nvRead() }
    : { power: machine.power };

async function leave(machine: Machine, path: string, trace: Trace): Promise<Left> {
  const socket = connect(path);
  using channel = new Channel(socket);
  try {
    await once(socket, 'connect');
    const { end, why } = await migrate(machine, channel, { trace });
    return { migrated: end === 'moved', power: machine.power, why };
  } catch (error) {
    return { migrated: false, power: machine.power, why: String(error) };
  }
}

/** The other host: it validates the image, and only then waits for the machine. */
async function target({ path, common, socket, printer }: Scene): Promise<Alive> {
  using image = openImage(path, { readOnly: false, trace: common.trace });
  const wait = { timeoutMs: common.lockTimeout };
  validateIncoming(image, { trace: common.trace, wait, imageLock: common.imageLock });
  const machine = machineOver(image, common, true);
  using channel = new Channel(await incoming(socket, printer));
  await accept(machine, channel, { trace: common.trace });
  const guest = new Guest(machine);
  const evidence = { ...probe(machine, guest), epoch: machine.storeInfo.epoch };
  machine.powerOff();
  return evidence;
}

/** The first connection to a Unix socket that only this user can reach. */
async function incoming(path: string, printer: Printer): Promise<Socket> {
  const server = createServer();
  const connected = new Promise<Socket>((resolve, reject) => {
    server.once('connection', resolve).once('error', reject);
  });
  const umask = process.umask(0o177);
  server.listen(path);
  process.umask(umask);
  printer.say(JSON.stringify({ listening: true }));
  const socket = await connected;
  server.close();
  return socket;
}

const STEPS: ReadonlyMap<string, (scene: Scene) => object | Promise<object>> = new Map<
  string,
  (scene: Scene) => object | Promise<object>
>([
  ['blank', blank],
  ['own', own],
  ['prove', prove],
  ['survived', survived],
  ['damage', damage],
  ['source', source],
  ['target', target],
]);

/** @throws UsageError; what the step throws */
export async function runStep(name: string, scene: Scene): Promise<object> {
  const step = STEPS.get(name);
  if (step === undefined) throw new UsageError(`unknown step ${JSON.stringify(name)}`);
  return step(scene);
}
