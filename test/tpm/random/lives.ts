/** The life of a TPM: its Endorsement Key, its owners, and how each of them goes. */
import {
  commands,
  encryptTo,
  keyParms,
  type PubKey,
  RSA_2048,
  raw,
} from '../../../src/testing/guest/index.js';
import { KeyUsage } from '../../../src/tpm/tpm12/keys.js';
import { encode } from '../../../src/wire/codec.js';
import { type Family, Kept, type RandomGuest } from './guest.js';
import { bePresent, switchOn } from './presence.js';

const { byte, rawCommand } = raw;

/** The secrets that take a revocable Endorsement Key back. */
const RESETS = new Kept<Uint8Array>('for good');

/** The public Endorsement Key, if there is one. */
export function endorsementKey(guest: RandomGuest): PubKey | undefined {
  const { keyUsage, pubKey } = guest.mirror.permanent.data.endorsementKey;
  return keyUsage === KeyUsage.NONE ? undefined : { algorithmParms: RSA_2048, modulus: pubKey };
}

function makeEk(guest: RandomGuest): void {
  const parms = encode(keyParms, RSA_2048);
  if (guest.chance(3)) {
    guest.run(rawCommand('CreateEndorsementKeyPair', 0, guest.bytes(20), parms));
    return;
  }
  const [own, reset] = [guest.chance(2), guest.bytes(20)];
  const command = rawCommand(
    'CreateRevocableEK',
    0,
    guest.bytes(20),
    parms,
    byte(Number(own)),
    reset,
  );
  RESETS.keep(guest, guest.run(command).slice(-20), 1);
}

function takeOwnership(guest: RandomGuest): void {
  const ek = endorsementKey(guest);
  if (ek === undefined) return;
  const [owner, srk] = [guest.bytes(20), guest.chance(2) ? guest.bytes(20) : new Uint8Array(20)];
  const command = commands.takeOwnership(encryptTo(ek, owner), encryptTo(ek, srk));
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
function endOwner(guest: RandomGuest): void {
  const end = guest.pick<() => unknown>([
    () => guest.run(rawCommand('OwnerClear', 0), [guest.owner]),
    () => guest.run(commands.forceClear()),
    () => guest.run(rawCommand('RevokeTrust', 0, RESETS.pick(guest) ?? guest.bytes(20))),
  ]);
  bePresent(guest);
  guest.attempt(end);
  if (!guest.chance(4)) revive(guest);
}

/** Makes what there is already, or reads what may be hidden. */
// biome-ignore format: table
export const LIVES: Family = [
  [4, endOwner],
  [1, makeEk],
  [1, takeOwnership],
  [2, guest => guest.run(commands.readPubek(guest.bytes(20)))],
  [1, guest => guest.run(rawCommand('DisablePubekRead', 0), [guest.owner])],
  [1, guest => guest.run(rawCommand('DisableOwnerClear', 0), [guest.owner])],
  [1, guest => guest.run(rawCommand('DisableForceClear', 0))],
];
