/** Queries without authorisation, and evictions. */
import { commands, ENTITY, HANDLE, RESOURCE, raw } from '../../src/guest/index.js';
import type { Family, RandomGuest } from './guest.js';
import { anyKey } from './held.js';

const { counted, rawCommand } = raw;
const INDEX = 0x1100;
/** All but TPM_CAP_MFR, which tells of libtpms's process. */
const AREAS = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0c, 0x0d, 0x11, 0x12, 0x14, 0x15, 0x17, 0x18, 0x19, 0x1a,
] as const;

function ask(guest: RandomGuest): void {
  const area = guest.pick(AREAS);
  const sub = guest.pick([
    0x101 + guest.below(0x24),
    guest.below(12),
    INDEX + guest.below(6),
    anyKey(guest).handle,
  ]);
  guest.run(commands.getCapability(area, sub));
}

/** Sessions for entities of every type, of which some are there. */
function openBound(guest: RandomGuest): void {
  const [type, value] = guest.pick<readonly [number, number]>([
    [ENTITY.OWNER, HANDLE.OWNER],
    [ENTITY.SRK, HANDLE.SRK],
    [ENTITY.KEYHANDLE, anyKey(guest).handle],
    [ENTITY.COUNTER, guest.below(3)],
    [ENTITY.NV, INDEX + guest.below(6)],
    [guest.below(16), HANDLE.SRK],
  ]);
  const scheme = guest.pick([0, 0, 0x0600, 0x0100]);
  guest.run(commands.osap(type + scheme, value, guest.bytes(20)));
}

function endSession(guest: RandomGuest): void {
  const { handle } = guest.client.openOiap();
  const command = guest.chance(2)
    ? commands.terminateHandle(handle)
    : commands.flushSpecific(handle, RESOURCE.AUTH);
  guest.run(command);
}

// biome-ignore format: table
export const LOOKING: Family = [
  [10, ask],
  [8,  endSession],
  [3,  guest => guest.run(commands.oiap())],
  [3,  openBound],
  [3,  guest => guest.run(rawCommand('GetAuditDigest', 0, guest.below(64)))],
  [3,  guest => guest.run(rawCommand('Reset', 0))],
  [3,  guest => guest.run(commands.getTestResult())],
  [3,  guest => guest.run(commands.selfTestFull())],
  [3,  guest => guest.run(commands.continueSelfTest())],
  [3,  guest => guest.run(commands.getRandom(guest.below(40)))],
  [3,  guest => guest.run(rawCommand('StirRandom', 0, counted(guest.bytes(guest.below(40)))))],
  [3,  guest => guest.run(rawCommand('GetTicks', 0))],
];
