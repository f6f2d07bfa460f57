/** The lockout that too many wrong secrets begin, and how the owner ends it. */
import { authorised, CAP, type Command, commands, raw } from '../../src/guest/index.js';
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

/** Runs a command with a secret, in a session that is opened for it. Nothing else goes wrong here. */
function tryWith(guest: RandomGuest, command: Command<unknown>, secret: Uint8Array): void {
  const session = guest.attempt(() => guest.client.openOiap());
  if (session === undefined) return;
  if (secret === WRONG) guest.beWrong();
  const auth = { session, secret, nonceOdd: guest.client.nonce() };
  guest.attempt(() => guest.client.exchange(authorised(command, auth)));
}

function lockOut(guest: RandomGuest): void {
  awaitSecond();
  const ask = commands.getCapabilityOwner();
  const look = commands.getCapability(CAP.DA_LOGIC, guest.below(12));
  for (let count = 0; count < FAILURES; count += 1) tryWith(guest, ask, WRONG);
  guest.attempt(() => guest.client.run(look));
  tryWith(guest, ask, guest.owner);
  const reset = raw.rawCommand('ResetLockValue', 0);
  if (guest.chance(2)) tryWith(guest, reset, WRONG);
  tryWith(guest, reset, guest.owner);
  tryWith(guest, ask, guest.owner);
  guest.powerCycle(false);
}

export const LOCKOUT: Family = [[1, lockOut]];
