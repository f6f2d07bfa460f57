/** Delegation: families, and who may act for the owner. */
import { raw } from '../../../src/testing/guest/index.js';
import type { Family, RandomGuest } from './guest.js';

const { byte, counted, rawCommand, word16 } = raw;

function manage(guest: RandomGuest): void {
  const family = guest.below(4);
  const data = guest.chance(6) ? word16(1) : byte(guest.below(2));
  const command = rawCommand('Delegate_Manage', 0, family, 1 + guest.below(5), counted(data));
  guest.run(command, [guest.owner]);
}

// biome-ignore format: table
export const DELEGATION: Family = [
  [7, manage],
  [3, guest => guest.run(rawCommand('Delegate_ReadTable', 0))],
];
