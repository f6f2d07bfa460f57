/**
 * Admin startup and state (TPM Main Part 3, §3): TPM_Startup, TPM_SaveState.
 * @module
 */
import { u16 } from '../../../wire/codec.js';
import { StateError, StoreFailure } from '../../engine.js';
import { isAudited } from '../audit-log.js';
import { audit } from '../audit-trail.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { LIMITS } from '../limits.js';
import { demand, TpmFault } from '../results.js';
import { encodeSaved, restoreSaved } from '../state/savestate.js';
import { freshStany, TestState } from '../state/state.js';

import { StartupType } from '../structures/types.js';

/** Starts the TPM after power on: afresh, from what TPM_SaveState saved, or deactivated. */
export const startup = command({
  ordinal: 'Startup',
  auth: 'none',
  when: 'always',
  selfTest: 'may be limited',
  savedState: 'kept',
  input: { startupType: u16 },
  run(call, { startupType }) {
    const { state } = call;
    demand(state.stany.postInitialise, 'INVALID_POSTINIT');
    demand(state.testState !== TestState.FAILURE, 'FAILEDSELFTEST');
    switch (startupType) {
      case StartupType.CLEAR:
        startClear(call);
        break;
      case StartupType.STATE:
        startFromSaved(call);
        break;
      case StartupType.DEACTIVATED:
        state.stclearFlags.deactivated = true;
        break;
      default:
        throw new TpmFault('BAD_PARAMETER');
    }
    state.stany = freshStany();
    return {};
  },
  /** Whatever came of it, a saved state is gone, and there is no second try before power off. */
  after({ tpm, state }, refused) {
    state.stany.postInitialise = false;
    state.stany.stateSaved = false;
    try {
      tpm.nvram.delete('savestate');
    } catch (error) {
      // Of two refusals, the first is the answer.
      if (!(refused && error instanceof StoreFailure)) throw error;
    }
  },
});

/** The platform's own command, which no guest has: TPM_Init is power on. */
export const init = command({
  ordinal: 'Init',
  auth: 'none',
  when: 'always',
  platform: true,
  run(): Record<never, never> {
    throw new TpmFault('BAD_ORDINAL');
  },
});

function startClear({ state }: Call): void {
  state.stclearFlags.deactivated = state.permanent.flags.deactivated;
  for (const entry of state.permanent.nv) {
    if (entry === undefined) continue;
    entry.publicInfo.readSTClear = false;
    entry.publicInfo.writeSTClear = false;
  }
}

/** A saved state that is not there, or not sound, is not replaced by another: the TPM fails. */
function startFromSaved({ tpm, state }: Call): void {
  try {
    const blob = tpm.nvram.load('savestate');
    demand(blob !== undefined, 'FAIL');
    restoreSaved(state, blob);
  } catch (error) {
    const known = [TpmFault, StateError, StoreFailure].some(kind => error instanceof kind);
    if (!known) throw error;
    state.testState = TestState.FAILURE;
    throw new TpmFault('FAILEDSELFTEST');
  }
}

/** Saves the volatile state for TPM_Startup(ST_STATE). Any later command discards it. */
export const saveState = command({
  ordinal: 'SaveState',
  auth: 'none',
  when: 'working',
  audited: 'by the command itself',
  run(call) {
    demand(call.through === undefined, 'NO_WRAP_TRANSPORT');
    if (isAudited(call.state, call.ordinal)) audit(call);
    const blob = encodeSaved(call.state);
    demand(blob.length <= LIMITS.savedBytes, 'NOSPACE');
    call.tpm.nvram.store('savestate', blob);
    call.state.stany.stateSaved = true;
    return {};
  },
});
