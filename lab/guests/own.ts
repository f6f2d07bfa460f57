/** What the owner may do: settings, audit, what only the owner sees. */
import { type Command, commands, HANDLE, raw } from '../../src/guest/index.js';
import { concat } from '../../src/wire/codec.js';
import type { Family, RandomGuest } from './guest.js';

const { byte, counted, rawCommand } = raw;
/** What TPM_SetCapability sets (Part 2, §21.7). */
type Setting = readonly [area: number, part: number, bytes: number];
// biome-ignore format: table
const SETTINGS: readonly [Setting, ...Setting[]] = [
  [1, 0x04, 1], [1, 0x05, 1], [1, 0x06, 1], [1, 0x11, 1], [1, 0x12, 1], [1, 0x14, 1], [1, 0x0a, 1],
  [2, 0x17, 4], [2, 0x19, 1], [3, 0x02, 1], [4, 0x06, 4], [5, 0x04, 1], [6, 0x01, 4], [7, 0x01, 1],
];
const AUDITED = [0x14, 0x16, 0x17, 0x3c, 0xdd, 0x85] as const;

const owned =
  (command: (guest: RandomGuest) => Command<unknown>) =>
  (guest: RandomGuest): unknown =>
    guest.run(command(guest), [guest.owner]);

/** By the owner, or by physical presence, from any locality. */
function set(guest: RandomGuest): void {
  const [area, part, length] = guest.pick(SETTINGS);
  const value = concat(new Uint8Array(length - 1), byte(guest.below(2)));
  const sub = Uint8Array.of(0, 0, 0, part);
  const command = rawCommand('SetCapability', 0, area, counted(sub), counted(value));
  guest.from(guest.chance(2) ? 0 : guest.below(5), () =>
    guest.chance(3) ? guest.run(command) : guest.run(command, [guest.owner]),
  );
}

const setAudit = (guest: RandomGuest): Command<unknown> =>
  rawCommand('SetOrdinalAuditStatus', 0, guest.pick(AUDITED), byte(guest.below(2)));

// biome-ignore format: table
export const OWN: Family = [
  [5, set],
  [3, owned(setAudit)],
  [3, owned(() => rawCommand('OwnerReadPubek', 0))],
  [3, owned(() => rawCommand('ResetLockValue', 0))],
  [3, owned(guest => commands.ownerReadInternalPub(guest.pick([HANDLE.EK, HANDLE.SRK])))],
  [3, owned(() => commands.getCapabilityOwner())],
];
