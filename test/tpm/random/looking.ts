/** What anybody may ask a TPM. */
import { commands, raw } from '../../../src/testing/guest/index.js';
import type { Family, RandomGuest } from './guest.js';
import { anyKey } from './held.js';

const { counted, rawCommand } = raw;
const DIGEST = new Uint8Array(20).fill(0x11);
const INDEX = 0x1100;
/** TPM_CAP_ORD is of what there is, and TPM_CAP_MFR tells of libtpms's process. */
const AREAS = [2, 3, 4, 5, 6, 7, 9, 0x0c, 0x0d, 0x11, 0x14, 0x15, 0x17, 0x18, 0x1a] as const;

function ask(guest: RandomGuest): void {
  const area = guest.pick(AREAS);
  const sub = guest.pick([0x101 + guest.below(0x24), guest.below(12), INDEX, anyKey(guest).handle]);
  guest.run(commands.getCapability(area, sub));
}

// biome-ignore format: table
export const LOOKING: Family = [
  [10, ask],
  [2,  guest => guest.run(rawCommand('DirRead', 0, 0))],
  [2,  guest => guest.run(rawCommand('GetAuditDigest', 0, guest.below(64)))],
  [2,  guest => guest.run(rawCommand('Reset', 0))],
  [2,  guest => guest.run(commands.getTestResult())],
  [2,  guest => guest.run(commands.selfTestFull())],
  [2,  guest => guest.run(commands.getRandom(guest.below(40)))],
  [2,  guest => guest.run(rawCommand('StirRandom', 0, counted(DIGEST)))],
];
