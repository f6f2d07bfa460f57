/** The switches of physical presence, of the operator and of the owner. */
import { commands, PRESENCE, raw } from '../../src/guest/index.js';
import { type Family, Kept, type RandomGuest } from './guest.js';

const { byte, rawCommand } = raw;
const OPERATOR = new Kept<Uint8Array>('for good');

/** Physical presence by command: allowed first, then asserted. */
export function bePresent(guest: RandomGuest): void {
  for (const bits of [PRESENCE.CMD_ENABLE, PRESENCE.PRESENT]) {
    guest.attempt(() => guest.run(commands.physicalPresence(bits)));
  }
}

/** Enables the TPM, and activates it for the next start, which comes at once. */
export function switchOn(guest: RandomGuest): void {
  bePresent(guest);
  guest.attempt(() => guest.run(commands.physicalEnable()));
  guest.attempt(() => guest.run(commands.physicalSetDeactivated(false)));
  guest.powerCycle(false);
}

const flip = (guest: RandomGuest) => byte(guest.below(2));

/** With physical presence, most of the time. */
const present =
  (act: (guest: RandomGuest) => unknown) =>
  (guest: RandomGuest): void => {
    if (!guest.wrongly()) bePresent(guest);
    act(guest);
  };

const BITS = [
  PRESENCE.LOCK,
  PRESENCE.PRESENT,
  PRESENCE.NOTPRESENT,
  PRESENCE.CMD_ENABLE,
  PRESENCE.HW_ENABLE,
  PRESENCE.HW_DISABLE,
  PRESENCE.CMD_ENABLE | PRESENCE.HW_ENABLE,
] as const;

function setOperator(guest: RandomGuest): void {
  const secret = guest.bytes(20);
  guest.run(rawCommand('SetOperatorAuth', 0, secret));
  OPERATOR.keep(guest, secret, 1);
}

/** Deactivates until the next start, which does not let wait for it. */
function deactivate(guest: RandomGuest): void {
  const operator = OPERATOR.pick(guest);
  const command = rawCommand('SetTempDeactivated', 0);
  guest.attempt(() =>
    operator === undefined || guest.chance(2) ? guest.run(command) : guest.run(command, [operator]),
  );
  if (!guest.chance(3)) guest.powerCycle(false);
}

// biome-ignore format: table
export const PRESENCE_FAMILY: Family = [
  [2, guest => guest.run(commands.physicalPresence(guest.pick(BITS)))],
  [1, present(guest => guest.run(commands.physicalEnable()))],
  [3, present(disable)],
  [1, present(guest => guest.run(rawCommand('PhysicalSetDeactivated', 0, flip(guest))))],
  [3, present(guest => guest.run(rawCommand('SetOwnerInstall', 0, flip(guest))))],
  [3, present(setOperator)],
  [3, present(deactivate)],
  [2, disableAsOwner],
  [3, resetEstablishment],
];

/** Disables the TPM, looks at it, and enables it again. */
function disable(guest: RandomGuest): void {
  guest.attempt(() => guest.run(commands.physicalDisable()));
  guest.attempt(() => guest.run(commands.getCapability(4, 0x108)));
  guest.attempt(() => guest.run(commands.physicalEnable()));
}

function disableAsOwner(guest: RandomGuest): void {
  for (const state of [1, 0]) {
    guest.attempt(() => guest.run(rawCommand('OwnerSetDisable', 0, byte(state)), [guest.owner]));
  }
}

/** A measured launch sets what only locality 3 and 4 reset. */
function resetEstablishment(guest: RandomGuest): void {
  if (guest.chance(2)) guest.mirror.hash(guest.bytes(guest.below(100)));
  const locality = guest.wrongly() ? guest.below(3) : 3 + guest.below(2);
  guest.from(locality, () => guest.run(rawCommand('TSC_ResetEstablishmentBit', 0)));
}
