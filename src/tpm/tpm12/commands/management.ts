/**
 * Management (TPM Main Part 3, §9): TPM_ResetLockValue, which ends a lockout.
 * @module
 */

import { lockoutSeconds } from '../auth/lockout.js';
import { command } from '../command.js';
import { demand } from '../results.js';

/** Forgets the failed authorisations. While a lockout runs the owner has one try, and no second. */
export const resetLockValue = command({
  ordinal: 'ResetLockValue',
  auth: 'one',
  when: 'lockedOut',
  delegable: { owner: 17 },
  run(call) {
    const { stclear } = call.state;
    if (lockoutSeconds(call.tpm) === 0) stclear.disableResetLock = false;
    demand(!stclear.disableResetLock, 'AUTHFAIL');
    stclear.disableResetLock = true;
    call.authoriseOwner();
    stclear.disableResetLock = false;
    stclear.authFailCount = 0;
    return {};
  },
});
