/** What the owner may do: settings, audit, what only the owner sees. */
import { type Command, commands, HANDLE, raw } from '../../../src/testing/guest/index.js';
import type { Family, RandomGuest } from './guest.js';

const { byte, counted, rawCommand } = raw;
/** TPM_SET_PERM_FLAGS, and flags that the owner may set with it. */
const SET_PERM_FLAGS = 1;
const FLAGS = [0x04, 0x11, 0x14] as const;
const AUDITED = [0x14, 0x16, 0x17, 0x3c, 0xdd, 0x85] as const;

const owned =
  (command: (guest: RandomGuest) => Command<unknown>) =>
  (guest: RandomGuest): unknown =>
    guest.run(command(guest), [guest.owner]);

function setFlag(guest: RandomGuest): Command<unknown> {
  const [flag, value] = [Uint8Array.of(0, 0, 0, guest.pick(FLAGS)), byte(guest.below(2))];
  return rawCommand('SetCapability', 0, SET_PERM_FLAGS, counted(flag), counted(value));
}

const setAudit = (guest: RandomGuest): Command<unknown> =>
  rawCommand('SetOrdinalAuditStatus', 0, guest.pick(AUDITED), byte(guest.below(2)));

// biome-ignore format: table
export const OWN: Family = [
  [3, owned(setFlag)],
  [3, owned(setAudit)],
  [3, owned(() => rawCommand('OwnerReadPubek', 0))],
  [3, owned(() => rawCommand('ResetLockValue', 0))],
  [3, owned(guest => commands.ownerReadInternalPub(guest.pick([HANDLE.EK, HANDLE.SRK])))],
  [3, owned(() => commands.getCapabilityOwner())],
];
