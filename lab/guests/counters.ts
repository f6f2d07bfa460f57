/** Monotonic counters. */
import { ENTITY, raw } from '../../src/guest/index.js';
import { type Family, Kept, type RandomGuest } from './guest.js';

const { rawCommand } = raw;
const SECRET = new Uint8Array(20).fill(0x63);
const COUNTERS_MAX = 8;
const COUNTERS = new Kept<number>('until the owner goes');

/** A counter, made if there is none. Only one can be incremented between two starts. */
function counter(guest: RandomGuest): number {
  if (guest.wrongly()) return guest.below(COUNTERS_MAX + 1);
  return guest.chance(3) ? create(guest) : (COUNTERS.of(guest)[0] ?? create(guest));
}

function create(guest: RandomGuest): number {
  const label = guest.bytes(4);
  const made = guest.runIn(guest.asOwner, session =>
    rawCommand('CreateCounter', 0, guest.hidden(session, SECRET), label),
  );
  const id = Buffer.from(made).readUInt32BE();
  COUNTERS.keep(guest, id, COUNTERS_MAX);
  return id;
}

/** By the counter's own secret, in an open session or in one that is bound to it. */
function useCounter(guest: RandomGuest, name: 'IncrementCounter' | 'ReleaseCounter'): void {
  const id = counter(guest);
  const command = rawCommand(name, 0, id);
  if (guest.chance(3)) guest.runIn([ENTITY.COUNTER, id, SECRET], () => command);
  else guest.run(command, [SECRET]);
  if (name === 'ReleaseCounter') COUNTERS.drop(guest, id);
}

function releaseAsOwner(guest: RandomGuest): void {
  const id = counter(guest);
  guest.run(rawCommand('ReleaseCounterOwner', 0, id), [guest.owner]);
  COUNTERS.drop(guest, id);
}

// biome-ignore format: table
export const COUNTING: Family = [
  [1, create],
  [4, guest => useCounter(guest, 'IncrementCounter')],
  [3, guest => guest.run(rawCommand('ReadCounter', 0, counter(guest)))],
  [3, guest => useCounter(guest, 'ReleaseCounter')],
  [3, releaseAsOwner],
];
