/** Monotonic counters. */
import { KEY } from '../../../scripts/transcripts/keys-common.js';
import { ENTITY, HANDLE, raw } from '../../../src/testing/guest/index.js';
import type { Family, RandomGuest } from './guest.js';

const { rawCommand } = raw;
const COUNTERS = 8;

function create(guest: RandomGuest): void {
  const session = guest.osap(ENTITY.OWNER, HANDLE.OWNER, guest.owner);
  const label = guest.bytes(4);
  guest.run(rawCommand('CreateCounter', 0, guest.hidden(session, KEY), label), [
    guest.owner,
    session,
  ]);
}

const id = (guest: RandomGuest): number => guest.below(COUNTERS + 1);

// biome-ignore format: table
export const COUNTERS_FAMILY: Family = [
  [3, create],
  [2, guest => guest.run(rawCommand('IncrementCounter', 0, id(guest)), [KEY])],
  [2, guest => guest.run(rawCommand('ReadCounter', 0, id(guest)))],
  [2, guest => guest.run(rawCommand('ReleaseCounter', 0, id(guest)), [KEY])],
  [2, guest => guest.run(rawCommand('ReleaseCounterOwner', 0, id(guest)), [guest.owner])],
];
