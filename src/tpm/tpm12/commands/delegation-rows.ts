/**
 * The table of delegations that the TPM keeps (TPM Main Part 3, §19.4 and §19.5).
 * @module
 */
import { concat, encode, u32 } from '../../../wire/codec.js';
import { clearSecret, demandProven, findEnabledFamily, openSecret } from '../auth/delegates.js';
import { command } from '../command.js';
import { demandFamily, endBoundSessions, isDelegated } from '../delegating.js';
import { countNoOwnerWrite } from '../nv-area.js';
import { demand } from '../results.js';
import { sizedBuffer } from '../structures/codecs.js';
import { FamilyFlag, familyEntry, ownerBlob, publicRow } from '../structures/delegate-public.js';

/** Keeps a delegation of the owner in the TPM. */
export const delegateLoadOwnerDelegation = command({
  ordinal: 'Delegate_LoadOwnerDelegation',
  auth: 'optional',
  when: 'operational',
  delegable: { owner: 24 },
  input: { index: u32, blobSize: u32, blob: ownerBlob },
  run(call, { index, blob }) {
    const { auth } = call;
    const { data } = call.state.permanent;
    const family = findEnabledFamily(call, blob.pub.familyID);
    let writes = data.noOwnerNVWrite;
    let authValue: Uint8Array;
    if (data.ownerInstalled) {
      demand(auth !== undefined, 'AUTHFAIL');
      auth.authorise(call.owner);
      if (isDelegated(call, auth)) demandFamily(auth, blob.pub.familyID);
      demandProven(call, blob);
      authValue = openSecret(call, blob);
    } else {
      // There is no owner whose authorisation it could be; libtpms follows a stray pointer.
      demand(auth === undefined, 'AUTHFAIL');
      demand((family.flags & FamilyFlag.ADMIN_LOCK) === 0, 'DELEGATE_LOCK');
      writes = countNoOwnerWrite(call);
      authValue = clearSecret(blob);
    }
    const row = data.delegateTable[index];
    demand(row !== undefined, 'BADINDEX');
    endBoundSessions(call);
    Object.assign(row, { pub: blob.pub, authValue, valid: true });
    data.noOwnerNVWrite = writes;
    call.altered = true;
    return {};
  },
});

/** The families, and the delegations that the TPM keeps. */
export const delegateReadTable = command({
  ordinal: 'Delegate_ReadTable',
  auth: 'none',
  when: 'operational',
  output: { familyTable: sizedBuffer, delegateTable: sizedBuffer },
  run({ state }) {
    const { familyTable, delegateTable } = state.permanent.data;
    const families = familyTable.filter(({ valid }) => valid).map(row => encode(familyEntry, row));
    const rows = delegateTable.flatMap(({ valid, pub }, index) =>
      valid ? [encode(publicRow, { index, pub })] : [],
    );
    return { familyTable: concat(...families), delegateTable: concat(...rows) };
  },
});
