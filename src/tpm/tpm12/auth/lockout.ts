/**
 * The dictionary attack lockout: doubled with every failure past the threshold, as libtpms has it.
 * @module
 */

import type { Environment } from '../environment.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';

/** Seconds that the lockout still runs: doubled with every failure past the threshold. */
export function lockoutSeconds(tpm: Environment): number {
  const { authFailCount, authFailTime } = tpm.state.stclear;
  const past = authFailCount - LIMITS.authFailures - 1;
  if (past < 0) return 0;
  const since = (secondsOf(tpm) - authFailTime + 2 ** 32) % 2 ** 32;
  return Math.max(2 ** Math.min(past, 31) - since, 0);
}

export function demandNoLockout(tpm: Environment): void {
  demand(lockoutSeconds(tpm) === 0, 'DEFEND_LOCK_RUNNING');
  tpm.state.stclear.disableResetLock = false;
}

/** The clock in seconds, as the lockout counts them. */
export const secondsOf = (tpm: Environment): number =>
  Math.floor(tpm.clock() / 1_000_000) % 2 ** 32;
