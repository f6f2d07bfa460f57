/** The life of a TPM: its Endorsement Key, its owners, and how each of them goes. */
import { commands, keyParms, type PubKey, RSA_2048, raw } from '../../src/guest/index.js';
import { KeyUsage } from '../../src/tpm/tpm12/structures/key.js';
import { encode } from '../../src/wire/codec.js';
import type { Family, RandomGuest } from './guest.js';
import { sealedFor } from './held.js';
import { bePresent, switchOn } from './presence.js';

const { byte, rawCommand } = raw;

/** The public Endorsement Key, if there is one. */
export function endorsementKey(guest: RandomGuest): PubKey | undefined {
  const { keyUsage, pubKey } = guest.mirror.permanent.data.endorsementKey;
  return keyUsage === KeyUsage.NONE ? undefined : { algorithmParms: RSA_2048, modulus: pubKey };
}

const PARMS = encode(keyParms, RSA_2048);

const makeLastingEk = (guest: RandomGuest): unknown =>
  guest.run(rawCommand('CreateEndorsementKeyPair', 0, guest.bytes(20), PARMS));

function makeRevocableEk(guest: RandomGuest): void {
  const [own, reset] = [guest.below(2), guest.bytes(20)];
  const command = rawCommand('CreateRevocableEK', 0, guest.bytes(20), PARMS, byte(own), reset);
  guest.run(command);
}

const makeEk = (guest: RandomGuest): unknown =>
  guest.chance(6) ? makeLastingEk(guest) : makeRevocableEk(guest);

const readPubek = (guest: RandomGuest): unknown => guest.run(commands.readPubek(guest.bytes(20)));

function takeOwnership(guest: RandomGuest): void {
  const ek = endorsementKey(guest);
  if (ek === undefined) return;
  const [owner, srk] = [guest.bytes(20), guest.chance(2) ? guest.bytes(20) : new Uint8Array(20)];
  const command = commands.takeOwnership(sealedFor(guest, ek, owner), sealedFor(guest, ek, srk));
  guest.run(command, [owner]);
  guest.succeed(owner, srk);
}

/** Has the TPM owned, whatever that takes. */
function beOwned(guest: RandomGuest): void {
  const { flags, data } = guest.mirror.permanent;
  if (data.ownerInstalled) return;
  if (!flags.ownership) {
    bePresent(guest);
    guest.attempt(() => guest.run(rawCommand('SetOwnerInstall', 0, byte(1))));
  }
  if (endorsementKey(guest) === undefined) guest.attempt(() => makeEk(guest));
  guest.attempt(() => readPubek(guest));
  guest.attempt(() => takeOwnership(guest));
}

/** Takes a TPM back into service, and has it owned. */
export function revive(guest: RandomGuest): void {
  guest.powerCycle(false);
  const { disable, deactivated } = guest.mirror.permanent.flags;
  if (disable || deactivated) switchOn(guest);
  beOwned(guest);
}

/** Ends the owner in one of the ways there are; the next one comes at once, or later. */
const endOwner =
  (end: (guest: RandomGuest) => unknown) =>
  (guest: RandomGuest): void => {
    bePresent(guest);
    guest.attempt(() => end(guest));
    if (!guest.chance(4)) revive(guest);
  };

/** The old Endorsement Key goes, and a new one comes, which may go as well. */
function beBornAgain(guest: RandomGuest): void {
  for (let count = 1 + guest.below(2); count > 0; count -= 1) {
    bePresent(guest);
    guest.attempt(() => revokeTrust(guest));
    guest.powerCycle(false);
    switchOn(guest);
    guest.attempt(() => makeEk(guest));
  }
  beOwned(guest);
}

const revokeTrust = (guest: RandomGuest): unknown =>
  guest.run(rawCommand('RevokeTrust', 0, guest.mirror.permanent.data.ekReset));

// biome-ignore format: table
export const LIVES: Family = [
  [3, endOwner(guest => guest.run(rawCommand('OwnerClear', 0), [guest.owner]))],
  [3, endOwner(guest => guest.run(commands.forceClear()))],
  [4, beBornAgain],
  [3, makeLastingEk],
  [1, makeRevocableEk],
  [1, takeOwnership],
  [1, readPubek],
  [3, guest => guest.run(rawCommand('DisablePubekRead', 0), [guest.owner])],
  [3, guest => guest.run(rawCommand('DisableOwnerClear', 0), [guest.owner])],
  [3, guest => guest.run(rawCommand('DisableForceClear', 0))],
];
