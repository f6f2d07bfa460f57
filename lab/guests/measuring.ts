/** PCRs, and SHA-1 piece by piece. */
import { commands, raw } from '../../src/guest/index.js';
import type { Family, RandomGuest } from './guest.js';

const { counted, rawCommand, selection } = raw;
const PCRS = 24;
const BLOCK_BYTES = 64;
/** The debug PCR and that of applications: any locality resets them. */
const RESETTABLE = [16, 23] as const;

const extend = (guest: RandomGuest): unknown =>
  guest.run(commands.extend(guest.below(PCRS), guest.bytes(20)));

function reset(guest: RandomGuest): void {
  const pcr = guest.chance(3) ? guest.below(PCRS) : guest.pick(RESETTABLE);
  guest.run(rawCommand('PCR_Reset', 0, selection(pcr)));
}

/** What a platform does with the PCRs of dynamic trust, from locality to locality. */
const fromAnywhere =
  (act: (guest: RandomGuest) => unknown) =>
  (guest: RandomGuest): void => {
    guest.from(guest.chance(2) ? 0 : guest.below(5), () => act(guest));
  };

/** A hash from its start to its end, most of the time. */
function hash(guest: RandomGuest): void {
  if (!guest.wrongly()) guest.run(rawCommand('SHA1Start', 0));
  for (let count = guest.below(3); count > 0; count -= 1) {
    const length = BLOCK_BYTES * (1 + guest.below(4)) - (guest.wrongly() ? 1 : 0);
    guest.attempt(() => guest.run(rawCommand('SHA1Update', 0, counted(guest.bytes(length)))));
  }
  const last = counted(guest.bytes(guest.below(BLOCK_BYTES + 1)));
  if (guest.chance(2)) guest.run(rawCommand('SHA1Complete', 0, last));
  else guest.run(rawCommand('SHA1CompleteExtend', 0, guest.below(PCRS), last));
}

// biome-ignore format: table
export const MEASURING: Family = [
  [3, fromAnywhere(extend)],
  [3, guest => guest.run(commands.pcrRead(guest.below(PCRS)))],
  [4, fromAnywhere(reset)],
  [8, hash],
];
