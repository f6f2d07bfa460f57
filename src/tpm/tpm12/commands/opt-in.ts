/**
 * Admin opt-in (TPM Main Part 3, §5): the switches of somebody who stands before the machine.
 * @module
 */
import { bool, struct, u16 } from '../../../wire/codec.js';
import { wipe } from '../../crypto/rsa.js';
import { bareSecret } from '../auth/guest-auth.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { demand } from '../results.js';
import { mayFrom } from '../state/pcr.js';
import { nothing, secret } from '../structures/basic.js';

/** Lets the TPM work from the next command on. */
export const physicalEnable = command({
  ordinal: 0x6f,
  name: 'TPM_PhysicalEnable',
  auth: 'none',
  when: 'working',
  input: nothing,
  output: nothing,
  run(call) {
    call.demandPresence();
    call.setFlag('disable', false);
    return {};
  },
});

/** Takes the TPM out of service from the next command on. */
export const physicalDisable = command({
  ordinal: 0x70,
  name: 'TPM_PhysicalDisable',
  auth: 'none',
  when: 'enabled',
  input: nothing,
  output: nothing,
  run(call) {
    call.demandPresence();
    call.setFlag('disable', true);
    return {};
  },
});

/** Activates or deactivates the TPM from the next start on. */
export const physicalSetDeactivated = command({
  ordinal: 0x72,
  name: 'TPM_PhysicalSetDeactivated',
  auth: 'none',
  when: 'enabled',
  input: struct({ state: bool }),
  output: nothing,
  run(call, { state }) {
    call.demandPresence();
    call.setFlag('deactivated', state);
    return {};
  },
});

/** Allows or forbids that somebody takes ownership. Where there is an owner it does nothing. */
export const setOwnerInstall = command({
  ordinal: 0x71,
  name: 'TPM_SetOwnerInstall',
  auth: 'none',
  when: 'operational',
  input: struct({ state: bool }),
  output: nothing,
  run(call, { state }) {
    if (call.state.permanent.data.ownerInstalled) return {};
    call.demandPresence();
    call.setFlag('ownership', state);
    return {};
  },
});

/** Takes the TPM out of service and back, by its owner. */
export const ownerSetDisable = command({
  ordinal: 0x6e,
  name: 'TPM_OwnerSetDisable',
  auth: 'one',
  when: 'workingOwned',
  input: struct({ disableState: bool }),
  output: nothing,
  run(call, { disableState }) {
    call.authoriseOwner();
    call.setFlag('disable', disableState);
    return {};
  },
});

/** Deactivates the TPM until the next start, by the operator or by who stands before the machine. */
export const setTempDeactivated = command({
  ordinal: 0x73,
  name: 'TPM_SetTempDeactivated',
  auth: 'optional',
  when: 'activated',
  input: nothing,
  output: nothing,
  run(call) {
    const { permanent, stclearFlags } = call.state;
    if (call.isAuthorised) {
      demand(permanent.flags.operator, 'NOOPERATOR');
      call.auth.authorise(bareSecret(permanent.data.operatorAuth), 'OIAP');
    } else call.demandPresence();
    stclearFlags.deactivated = true;
    return {};
  },
});

/** Names the operator's secret. */
export const setOperatorAuth = command({
  ordinal: 0x74,
  name: 'TPM_SetOperatorAuth',
  auth: 'none',
  when: 'operational',
  input: struct({ operatorAuth: secret }),
  output: nothing,
  run(call, { operatorAuth }) {
    call.demandPresence();
    const { data } = call.state.permanent;
    wipe(data.operatorAuth);
    data.operatorAuth = operatorAuth;
    call.setFlag('operator', true);
    call.altered = true;
    return {};
  },
});

/** Part 2 §4.4.10 TPM_PHYSICAL_PRESENCE. */
// biome-ignore format: table
const Presence = {
  LOCK:          0x0004,
  PRESENT:       0x0008,
  NOTPRESENT:    0x0010,
  CMD_ENABLE:    0x0020,
  HW_ENABLE:     0x0040,
  LIFETIME_LOCK: 0x0080,
  CMD_DISABLE:   0x0100,
  HW_DISABLE:    0x0200,
} as const;
const FOR_LIFE = 0x03e0;
const FOR_NOW = 0x001c;

const has = (set: number, bit: number): boolean => (set & bit) !== 0;

/** How the machine's firmware says who stands before it, or how it will be said from now on. */
export const physicalPresence = command({
  ordinal: 0x4000_000a,
  name: 'TSC_PhysicalPresence',
  auth: 'none',
  when: 'working',
  input: struct({ physicalPresence: u16 }),
  output: nothing,
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
  ordinal: 0x4000_000b,
  name: 'TSC_ResetEstablishmentBit',
  auth: 'none',
  when: 'working',
  input: nothing,
  output: nothing,
  run(call) {
    demand(mayFrom(LOCALITIES_3_AND_4, call.locality), 'BAD_LOCALITY');
    call.setFlag('tpmEstablished', false);
    return {};
  },
});
