/**
 * Admin opt-in (TPM Main Part 3, §5): the switches that need physical presence.
 * @module
 */
import { bool } from '../../../wire/codec.js';
import { wipe } from '../../crypto/secrets.js';
import { bareSecret } from '../auth/guest-auth.js';
import { command } from '../command.js';
import { demand } from '../results.js';
import { secret } from '../structures/basic.js';

/** Enables the TPM from the next command on. */
export const physicalEnable = command({
  ordinal: 'PhysicalEnable',
  auth: 'none',
  when: 'working',
  audited: 'from the start',
  run(call) {
    call.demandPresence();
    call.setFlag('disable', false);
    return {};
  },
});

/** Disables the TPM from the next command on. */
export const physicalDisable = command({
  ordinal: 'PhysicalDisable',
  auth: 'none',
  when: 'enabled',
  audited: 'from the start',
  run(call) {
    call.demandPresence();
    call.setFlag('disable', true);
    return {};
  },
});

/** Activates or deactivates the TPM from the next start on. */
export const physicalSetDeactivated = command({
  ordinal: 'PhysicalSetDeactivated',
  auth: 'none',
  when: 'enabled',
  audited: 'from the start',
  input: { state: bool },
  run(call, { state }) {
    call.demandPresence();
    call.setFlag('deactivated', state);
    return {};
  },
});

/** Allows or forbids taking ownership. Where there is an owner it does nothing. */
export const setOwnerInstall = command({
  ordinal: 'SetOwnerInstall',
  auth: 'none',
  when: 'operational',
  audited: 'from the start',
  input: { state: bool },
  run(call, { state }) {
    if (call.state.permanent.data.ownerInstalled) return {};
    call.demandPresence();
    call.setFlag('ownership', state);
    return {};
  },
});

/** Disables or enables the TPM, for the owner. */
export const ownerSetDisable = command({
  ordinal: 'OwnerSetDisable',
  auth: 'one',
  when: 'workingOwned',
  delegable: { owner: 13 },
  audited: 'from the start',
  input: { disableState: bool },
  run(call, { disableState }) {
    call.authoriseOwner();
    call.setFlag('disable', disableState);
    return {};
  },
});

/** Deactivates the TPM until the next start, for the operator or with physical presence. */
export const setTempDeactivated = command({
  ordinal: 'SetTempDeactivated',
  auth: 'optional',
  when: 'activated',
  audited: 'from the start',
  run(call) {
    const { permanent, stclearFlags } = call.state;
    if (call.auth !== undefined) {
      demand(permanent.flags.operator, 'NOOPERATOR');
      call.auth.authorise(bareSecret(permanent.data.operatorAuth), 'OIAP');
    } else call.demandPresence();
    stclearFlags.deactivated = true;
    return {};
  },
});

/** Sets the operator's secret. */
export const setOperatorAuth = command({
  ordinal: 'SetOperatorAuth',
  auth: 'none',
  when: 'operational',
  input: { operatorAuth: secret },
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
