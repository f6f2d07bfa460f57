/**
 * Deprecated commands of TPM 1.1 (TPM Main Part 3, §27) that have successors.
 * @module
 */

import type { Call } from '../call.js';
import { command } from '../command.js';
import { dropKey, findLoaded } from '../keys/loaded.js';
import { demand } from '../results.js';
import { isOwnerEvict } from '../state/places.js';
import { noBytes20 } from '../structures/basic.js';

import { publicOf } from '../structures/key.js';
import { pubkey } from '../structures/key-parms.js';

/** Ends an authorisation session. */
export const terminateHandle = command({
  ordinal: 'Terminate_Handle',
  auth: 'none',
  when: 'working',
  handles: { handle: 'session' },
  run({ state }, { handle }) {
    demand(state.stclear.authSessions.remove(handle), 'INVALID_AUTHHANDLE');
    return {};
  },
});

/** Forgets the sessions that were saved: none of them can be loaded again. */
function forgetContexts(stclear: Call['state']['stclear']): void {
  stclear.contextNonceSession = noBytes20();
  stclear.contextCount = 0;
  stclear.contextList.fill(0);
}

/** Ends every authorisation session (Part 3, §27.8: of TPM 1.1). */
export const reset = command({
  ordinal: 'Reset',
  auth: 'none',
  when: 'working',
  run({ state: { stclear } }) {
    stclear.authSessions.clear();
    forgetContexts(stclear);
    return {};
  },
});

/** Evicts a loaded key. */
export const evictKey = command({
  ordinal: 'EvictKey',
  auth: 'none',
  when: 'owned',
  handles: { evictHandle: 'key' },
  run({ state }, { evictHandle }) {
    const found = findLoaded(state.keys, evictHandle);
    demand(!isOwnerEvict(found), 'KEY_OWNER_CONTROL');
    dropKey(state, found);
    return {};
  },
});

/** Shows the owner the Endorsement Key. */
export const ownerReadPubek = command({
  ordinal: 'OwnerReadPubek',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 9 },
  audited: 'from the start',
  output: { pubEndorsementKey: pubkey },
  run(call) {
    call.authoriseOwner();
    return { pubEndorsementKey: publicOf(call.state.permanent.data.endorsementKey) };
  },
});

/** Restricts reading the Endorsement Key to the owner. */
export const disablePubekRead = command({
  ordinal: 'DisablePubekRead',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 8 },
  audited: 'from the start',
  run(call) {
    call.authoriseOwner();
    call.setFlag('readPubek', false);
    return {};
  },
});
