/** The lockout that too many wrong secrets begin, and how the owner ends it. */
import { CAP, commands, raw } from '../../../src/testing/guest/index.js';
import type { Family, RandomGuest } from './guest.js';

const WRONG = new Uint8Array(20).fill(0xee);
/** The first that comes to more than are forgiven begins the lockout. */
const FAILURES = 6;
const MS_PER_SECOND = 1000;
/** All of it happens within one second of the clock, by which both TPMs count. */
const EARLY_MS = 200;

/** Waits for the beginning of a second. */
function awaitSecond(): void {
  const since = Date.now() % MS_PER_SECOND;
  if (since < EARLY_MS) return;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, MS_PER_SECOND - since + 1);
}

function lockOut(guest: RandomGuest): void {
  awaitSecond();
  const ask = commands.getCapabilityOwner();
  const look = commands.getCapability(CAP.DA_LOGIC, guest.below(12));
  for (let count = 0; count < FAILURES; count += 1) {
    guest.beWrong();
    guest.attempt(() => guest.client.authorise(ask, WRONG));
  }
  guest.attempt(() => guest.client.run(look));
  guest.attempt(() => guest.client.authorise(ask, guest.owner));
  const reset = raw.rawCommand('ResetLockValue', 0);
  if (guest.chance(2)) {
    guest.beWrong();
    guest.attempt(() => guest.client.authorise(reset, WRONG));
  }
  guest.attempt(() => guest.client.authorise(reset, guest.owner));
  guest.attempt(() => guest.client.authorise(ask, guest.owner));
  guest.powerCycle(false);
}

export const LOCKOUT: Family = [[1, lockOut]];
