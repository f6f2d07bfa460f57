/**
 * The steps of the demonstration. Each runs in a process of its own, so that nothing but the image
 * carries anything from one to the next, and prints its evidence as one JSON document.
 * @module
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { openImage, takeGuard } from '../../block/index.js';
import { withLock } from '../../block/lock.js';
import type { Machine } from '../../machine/index.js';
import { accept, Channel, migrate, validateIncoming } from '../../migration/index.js';
import { inspectStore } from '../../nvram/index.js';
import type { Trace, TraceEvent } from '../../trace.js';
import { type CommonOptions, machineOver, withImage } from '../images.js';
import { UsageError } from '../output.js';
import { Guest } from './guest.js';

type Evidence = Readonly<Record<string, unknown>>;

/** A trace that keeps what it is told, besides passing it on. */
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
function inGuest(
  path: string,
  options: CommonOptions,
  act: (guest: Guest, machine: Machine, events: readonly TraceEvent[]) => Evidence,
): Evidence {
  const { trace, events } = recording(options.trace);
  return withImage(path, undefined, { ...options, trace }, image => {
    const machine = machineOver(image, { ...options, trace });
    machine.powerOn();
    const guest = new Guest(machine);
    guest.startup();
    const evidence = act(guest, machine, events);
    machine.powerOff();
    return evidence;
  });
}

const stored = (machine: Machine, events: readonly TraceEvent[]): Evidence => ({
  generation: machine.storeInfo.generation,
  epoch: machine.storeInfo.epoch,
  store: lastStore(events),
});

type Step = (path: string, options: CommonOptions, socket: string) => Evidence | Promise<Evidence>;

// biome-ignore format: table
const STEPS: Readonly<Record<string, Step>> = {
  'blank': (path, options) => {
    const before = withImage(path, 'reader', options, image =>
      withLock(image, undefined, disk => inspectStore(disk).verdict),
    );
    return inGuest(path, options, (guest, machine, events) => {
      const ek = guest.createEk();
      return { before, ek, ...stored(machine, events) };
    });
  },

  'own': (path, options) => inGuest(path, options, (guest, machine, events) => {
    const ek = guest.readEk();
    guest.takeOwnership();
    return { ek, owned: machine.info.owned, ...stored(machine, events) };
  }),

  'prove': (path, options) => inGuest(path, options, (guest, machine, events) => {
    const ek = guest.ownerReadsEk();
    const stranger = guest.strangerIsRefused();
    guest.nvDefine();
    guest.nvWrite(1);
    return { ek, owned: machine.info.owned, stranger, ...stored(machine, events) };
  }),

  'survived': (path, options) => inGuest(path, options, (guest, machine) => {
    const { owned } = machine.info;
    return { ek: guest.ownerReadsEk(), owned, stranger: guest.strangerIsRefused(), nv: guest.nvRead() };
  }),

  'damage': path => damage(path),
  'source': (path, options) => source(path, options),
  'target': (path, options, socket) => target(path, options, socket),
};

export function runStep(
  name: string,
  path: string,
  options: CommonOptions,
  socket: string,
): Evidence | Promise<Evidence> {
  const step = STEPS[name];
  if (step === undefined) throw new UsageError(`${name} is not a step of the demonstration`);
  return step(path, options, socket);
}

/** Flips one bit in the middle of the stored permall, as a bad disk would: without asking anybody. */
function damage(path: string): Evidence {
  using image = openImage(path, { readOnly: false });
  // Beside whoever has the image: a bad disk asks for no guard.
  using _beside = takeGuard(image, 'incoming');
  return withLock(image, undefined, disk => {
    const { state } = withLock(image, undefined, inspectStore);
    const blob = state?.directory.entries.find(entry => entry.name === 'permall');
    if (blob === undefined) throw new UsageError('there is no permall to damage');
    const byte = Math.floor(blob.length / 2);
    const offset = blob.offset + byte;
    const [was] = disk.read(offset, 1);
    const is = was! ^ 0x01;
    disk.write(offset, Uint8Array.of(is));
    disk.flush();
    return { blob: blob.name, byte, offset, was, is };
  });
}

/**
 * A machine that runs until it is told otherwise, by words on standard input, each answered by a
 * line of JSON: probe, write, migrate SOCKET, off.
 */
async function source(path: string, options: CommonOptions): Promise<Evidence> {
  using image = openImage(path, { readOnly: false, trace: options.trace });
  const machine = machineOver(image, options);
  machine.powerOn();
  const guest = new Guest(machine);
  guest.startup();
  guest.extend();
  const answer = (evidence: Evidence): void => {
    process.stdout.write(`${JSON.stringify(evidence)}\n`);
  };
  answer({ power: machine.power, pcr: guest.pcr() });
  let writes = 1;
  for await (const line of createInterface({ input: process.stdin })) {
    const [word, argument] = line.split(' ');
    if (word === 'probe') answer(probe(machine, guest));
    if (word === 'write') {
      guest.nvWrite((writes += 1));
      answer({ generation: machine.storeInfo.generation });
    }
    if (word === 'migrate') answer(await leave(machine, argument!, options.trace));
    if (word === 'off') break;
  }
  process.stdin.destroy();
  machine.powerOff();
  return { power: machine.power };
}

/** What the source answers when it is asked whether it still lives. */
const probe = (machine: Machine, guest: Guest): Evidence =>
  machine.power === 'on'
    ? { power: machine.power, pcr: guest.pcr(), ek: guest.ownerReadsEk(), nv: guest.nvRead() }
    : { power: machine.power };

async function leave(machine: Machine, path: string, trace: Trace): Promise<Evidence> {
  const socket = connect(path);
  using channel = new Channel(socket);
  try {
    await once(socket, 'connect');
    const { end, why } = await migrate(machine, channel, { trace });
    const { power } = machine;
    return end === 'moved'
      ? { migrated: true, power }
      : { migrated: false, power, refusal: end === 'kept', why };
  } catch (error) {
    return { migrated: false, power: machine.power, refusal: false, why: String(error) };
  }
}

/** The other host: validates the image, and only then waits for the machine to come. */
async function target(path: string, options: CommonOptions, socket: string): Promise<Evidence> {
  using image = openImage(path, { readOnly: false, trace: options.trace });
  const wait = { timeoutMs: options.lockTimeout };
  validateIncoming(image, { trace: options.trace, wait, imageLock: options.imageLock });
  const machine = machineOver(image, options, true);
  using channel = new Channel(await incoming(socket));
  await accept(machine, channel, { trace: options.trace });
  const guest = new Guest(machine);
  const evidence = { ...probe(machine, guest), epoch: machine.storeInfo.epoch };
  machine.powerOff();
  return evidence;
}

/** The first connection to a Unix socket that only this user can reach. */
async function incoming(path: string): Promise<Socket> {
  const server = createServer();
  const umask = process.umask(0o177);
  server.listen(path);
  process.umask(umask);
  process.stdout.write(`${JSON.stringify({ listening: true })}\n`);
  const [socket] = (await once(server, 'connection')) as [Socket];
  server.close();
  return socket;
}
