/**
 * What goes with an owner, and what with an Endorsement Key (TPM Main Part 3, §6.2 and §14.5).
 * @module
 */

import { hasMask } from '../kernel/bits.js';
import type { Call } from './call.js';
import { dropKey } from './keys/loaded.js';
import { permits, removeNv } from './nv-area.js';
import { noDelegates, noFamilies, noSymmetricKey } from './state/defaults.js';
import { type PermanentFlag, wipeOwner } from './state/permanent.js';
import { endAllSessions, freshStclear } from './state/state.js';
import { noKey } from './structures/key.js';

/** What the flags are once there is no owner. */
// biome-ignore format: table
const CLEARED_FLAGS: Partial<Record<PermanentFlag, boolean>> = {
  disable:               true,
  deactivated:           true,
  readPubek:             true,
  disableOwnerClear:     false,
  disableFullDALogicInfo: false,
  allowMaintenance:      false,
  readSRKPub:            false,
  ownership:             true,
  operator:              false,
  maintenanceDone:       false,
};

const D_BIT = 0x1000_0000;

/** Lets everything go that was the owner's; the Endorsement Key stays, and NV of the platform. */
export function clearOwner(call: Call, nvGoes: 'the owners' | 'all' = 'the owners'): void {
  const { state } = call;
  const { permanent, stclear } = state;
  const { data } = permanent;
  call.altered = true;
  for (const key of state.keys.all) dropKey(state, key);
  wipeOwner(data);
  Object.assign(data, {
    ownerInstalled: false,
    srk: noKey(),
    contextKey: noSymmetricKey(),
    delegateKey: noSymmetricKey(),
    delegateTable: noDelegates(),
    familyTable: noFamilies(),
    counters: data.counters.map(counter => ({ ...counter, valid: false })),
    noOwnerNVWrite: 0,
    restrictDelegate: 0,
    ordinalAuditStatus: call.tpm.commands.auditedFromStart(),
    tscOrdinalAuditStatus: 0,
  });
  Object.assign(permanent.flags, CLEARED_FLAGS);
  endAllSessions(stclear);
  state.stclear = freshStclear(stclear.pcrs);
  for (const entry of [...permanent.nv]) {
    const owners =
      entry !== undefined && (permits(entry, 'OWNERWRITE') || permits(entry, 'OWNERREAD'));
    const platforms = owners && hasMask(entry.publicInfo.nvIndex, D_BIT);
    if (owners && (!platforms || nvGoes === 'all')) removeNv(permanent.nv, entry);
  }
}

/** Draws the secrets that every DAA credential of this TPM rests on anew. */
export function renewDaaSecrets({ tpm, state }: Call): void {
  const { data } = state.permanent;
  data.tpmDAASeed = tpm.entropy(20);
  data.daaProof = tpm.entropy(20);
  data.daaBlobKey = { ...data.daaBlobKey, valid: true, key: tpm.entropy(16) };
}
