/** Power, starts and saved states; what no guest may send; and ordinals that do not exist. */
import { commands, frame, raw, STARTUP, TAG } from '../../src/guest/index.js';
import type { Family, RandomGuest } from './guest.js';

const { rawCommand } = raw;
/** What libtpms does not have: maintenance, field upgrade, the signed audit events, … */
// biome-ignore format: table
export const ABSENT = [
  0x00, 0x09, 0x26, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x34, 0x52, 0x64, 0x82, 0x83, 0x8c, 0x9a, 0xaa,
  0xca, 0xd7, 0xff, 0x100, 0x4000_0000, 0x4000_000c, 0x8000_000a,
] as const;

/** A second start, of any kind: there is but one after power on. */
const startAgain = (guest: RandomGuest): unknown => guest.run(commands.startup(guest.below(4)));

/** Power off, and on again with a start that may go wrong. */
function startOver(guest: RandomGuest): void {
  guest.cutPower();
  const type = guest.wrongly() ? guest.below(5) : STARTUP.CLEAR;
  guest.run(commands.startup(type));
}

/** What an OS does before it sleeps, and the firmware when it wakes. */
function sleep(guest: RandomGuest): void {
  guest.run(commands.saveState());
  if (guest.wrongly()) guest.attempt(() => guest.run(commands.getTestResult()));
  guest.powerCycle(true);
}

const sendAbsent = (guest: RandomGuest): unknown =>
  guest.send(
    frame(TAG.RQU_COMMAND + guest.below(3), guest.pick(ABSENT), guest.bytes(guest.below(8))),
  );

// biome-ignore format: table
export const STARTING: Family = [
  [1, startAgain],
  [3, startOver],
  [3, sleep],
  [3, guest => guest.run(rawCommand('Init', 0))],
  [2, sendAbsent],
];
