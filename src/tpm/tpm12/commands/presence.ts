/**
 * The connection commands TSC_PhysicalPresence and TSC_ResetEstablishmentBit (TPM Main Part 3, §6).
 * @module
 */
import { u16 } from '../../../wire/codec.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { demand } from '../results.js';
import { mayFrom } from '../state/pcr.js';

import { Presence } from '../structures/types.js';

const FOR_LIFE = 0x03e0;

const FOR_NOW = 0x001c;

const has = (set: number, bit: number): boolean => (set & bit) !== 0;

/** Asserts physical presence, or sets how it is asserted. */
export const physicalPresence = command({
  ordinal: 'TSC_PhysicalPresence',
  auth: 'none',
  when: 'working',
  selfTest: 'may be limited',
  input: { physicalPresence: u16 },
  run(call, { physicalPresence: set }) {
    const known = (set & ~(FOR_LIFE | FOR_NOW)) === 0;
    demand(known && has(set, FOR_LIFE) !== has(set, FOR_NOW), 'BAD_PARAMETER');
    if (has(set, FOR_LIFE)) settleForLife(call, set);
    else settleForNow(call, set);
    return {};
  },
});

function settleForLife(call: Call, set: number): void {
  demand(!call.state.permanent.flags.physicalPresenceLifetimeLock, 'BAD_PARAMETER');
  const contradicts = (one: number, other: number): boolean => has(set, one) && has(set, other);
  demand(!contradicts(Presence.HW_ENABLE, Presence.HW_DISABLE), 'BAD_PARAMETER');
  demand(!contradicts(Presence.CMD_ENABLE, Presence.CMD_DISABLE), 'BAD_PARAMETER');
  if (has(set, Presence.HW_ENABLE)) call.setFlag('physicalPresenceHWEnable', true);
  if (has(set, Presence.HW_DISABLE)) call.setFlag('physicalPresenceHWEnable', false);
  if (has(set, Presence.CMD_ENABLE)) call.setFlag('physicalPresenceCMDEnable', true);
  if (has(set, Presence.CMD_DISABLE)) call.setFlag('physicalPresenceCMDEnable', false);
  if (has(set, Presence.LIFETIME_LOCK)) call.setFlag('physicalPresenceLifetimeLock', true);
}

function settleForNow({ state }: Call, set: number): void {
  const flags = state.stclearFlags;
  demand(state.permanent.flags.physicalPresenceCMDEnable, 'BAD_PARAMETER');
  demand(!(has(set, Presence.LOCK) && has(set, Presence.PRESENT)), 'BAD_PARAMETER');
  demand(!(has(set, Presence.PRESENT) && has(set, Presence.NOTPRESENT)), 'BAD_PARAMETER');
  demand(!flags.physicalPresenceLock, 'BAD_PARAMETER');
  if (has(set, Presence.LOCK)) {
    flags.physicalPresence = false;
    flags.physicalPresenceLock = true;
  }
  if (has(set, Presence.PRESENT)) flags.physicalPresence = true;
  if (has(set, Presence.NOTPRESENT)) flags.physicalPresence = false;
}

const LOCALITIES_3_AND_4 = 0b11000;

/** Forgets that a trusted system was ever started. */
export const resetEstablishmentBit = command({
  ordinal: 'TSC_ResetEstablishmentBit',
  auth: 'none',
  when: 'working',
  selfTest: 'may be limited',
  run(call) {
    demand(mayFrom(LOCALITIES_3_AND_4, call.locality), 'BAD_LOCALITY');
    call.setFlag('tpmEstablished', false);
    return {};
  },
});
