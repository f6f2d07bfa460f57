/**
 * Admin opt-in (TPM Main Part 3, §5): the switches that need physical presence.
 * @module
 */
import { bool, struct } from '../../../wire/codec.js';
import { wipe } from '../../crypto/secrets.js';
import { bareSecret } from '../auth/guest-auth.js';
import { command } from '../command.js';
import { demand } from '../results.js';
import { secret } from '../structures/basic.js';
import { nothing } from '../structures/codecs.js';

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
