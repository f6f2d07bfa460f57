/**
 * Eviction (TPM Main Part 3, §22): TPM_FlushSpecific.
 * @module
 */
import { u32 } from '../../../wire/codec.js';
import { endTransport } from '../auth/transport-session.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { dropKey } from '../keys/loaded.js';
import { demand, TpmFault } from '../results.js';
import { isOwnerEvict } from '../state/places.js';

import { Resource } from '../structures/types.js';

/** Lets a resource of the TPM go. */
export const flushSpecific = command({
  ordinal: 'FlushSpecific',
  auth: 'none',
  when: 'working',
  handles: { handle: 'resource' },
  input: { resourceType: u32 },
  run(call, { handle, resourceType }) {
    const { stclear } = call.state;
    switch (resourceType) {
      case Resource.KEY:
        flushKey(call, handle);
        break;
      case Resource.AUTH:
        demand(stclear.authSessions.remove(handle), 'INVALID_AUTHHANDLE');
        break;
      case Resource.CONTEXT: {
        const place = handle === 0 ? -1 : stclear.contextList.indexOf(handle);
        demand(place >= 0, 'BAD_PARAMETER');
        stclear.contextList[place] = 0;
        break;
      }
      case Resource.TRANS:
        demand(endTransport(call.state, handle), 'INVALID_AUTHHANDLE');
        break;
      case Resource.DAA:
        demand(stclear.daaSessions.remove(handle), 'BAD_HANDLE');
        break;
      default:
        throw new TpmFault('INVALID_RESOURCE');
    }
    return {};
  },
});

function flushKey({ state }: Call, handle: number): void {
  const found = state.keys.find(handle);
  demand(found !== undefined, 'BAD_PARAMETER');
  demand(!isOwnerEvict(found), 'KEY_OWNER_CONTROL');
  dropKey(state, found);
}
