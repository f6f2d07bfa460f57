/**
 * Deprecated commands of TPM 1.1 (TPM Main Part 3, §27) that have successors.
 * @module
 */
import { struct, u32 } from '../../../wire/codec.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { dropKey, findLoaded } from '../keys/loaded.js';
import { demand } from '../results.js';
import { isOwnerEvict } from '../state/places.js';
import { noBytes20 } from '../structures/basic.js';
import { nothing } from '../structures/codecs.js';
import { publicOf } from '../structures/key.js';
import { pubkey } from '../structures/key-parms.js';

/** Ends an authorisation session. */
export const terminateHandle = command({
  ordinal: 0x96,
  name: 'TPM_Terminate_Handle',
  auth: 'none',
  when: 'working',
  handleBytes: { input: 4, output: 0 },
  input: struct({ handle: u32 }),
  output: nothing,
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
  ordinal: 0x5a,
  name: 'TPM_Reset',
  auth: 'none',
  when: 'working',
  input: nothing,
  output: nothing,
  run({ state: { stclear } }) {
    stclear.authSessions.clear();
    forgetContexts(stclear);
    return {};
  },
});

/** Lets a loaded key go. */
export const evictKey = command({
  ordinal: 0x22,
  name: 'TPM_EvictKey',
  auth: 'none',
  when: 'owned',
  handleBytes: { input: 4, output: 0 },
  input: struct({ evictHandle: u32 }),
  output: nothing,
  run({ state }, { evictHandle }) {
    const found = findLoaded(state.keys, evictHandle);
    demand(!isOwnerEvict(found), 'KEY_OWNER_CONTROL');
    dropKey(state, found);
    return {};
  },
});

/** Shows the owner the Endorsement Key. */
export const ownerReadPubek = command({
  ordinal: 0x7d,
  name: 'TPM_OwnerReadPubek',
  auth: 'one',
  when: 'owned',
  input: nothing,
  output: struct({ pubEndorsementKey: pubkey }),
  run(call) {
    call.authoriseOwner();
    return { pubEndorsementKey: publicOf(call.state.permanent.data.endorsementKey) };
  },
});

/** Hides the Endorsement Key from everybody but the owner. */
export const disablePubekRead = command({
  ordinal: 0x7e,
  name: 'TPM_DisablePubekRead',
  auth: 'one',
  when: 'owned',
  input: nothing,
  output: nothing,
  run(call) {
    call.authoriseOwner();
    call.setFlag('readPubek', false);
    return {};
  },
});
