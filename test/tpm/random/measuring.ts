/** PCRs and SHA-1. */
import { type Command, commands, raw } from '../../../src/testing/guest/index.js';
import type { Family, RandomGuest } from './guest.js';

const { counted, rawCommand, selection } = raw;
const DIGEST = new Uint8Array(20).fill(0x11);

function measure(guest: RandomGuest): void {
  const pcr = guest.below(24);
  const asked: [Command<unknown>, ...Command<unknown>[]] = [
    commands.extend(pcr, DIGEST),
    commands.pcrRead(pcr),
    rawCommand('PCR_Reset', 0, selection(pcr)),
    rawCommand('SHA1Start', 0),
    rawCommand('SHA1Update', 0, counted(new Uint8Array(64 * guest.below(3)))),
    rawCommand('SHA1Complete', 0, counted(new Uint8Array(guest.below(66)))),
    rawCommand('SHA1CompleteExtend', 0, pcr, counted(DIGEST)),
  ];
  for (let count = 0; count < 3; count += 1) {
    guest.attempt(() => guest.run(guest.pick(asked)));
  }
}

export const MEASURING: Family = [[10, measure]];
