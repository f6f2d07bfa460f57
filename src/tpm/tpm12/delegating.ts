/**
 * What one delegation may do to others (TPM Main Part 1, §29): it acts within its family, and a change
 * of families or rows ends the sessions that depend on them.
 * @module
 */
import { findFamily } from './auth/delegates.js';
import type { GuestAuth } from './auth/guest-auth.js';
import { terminateBound } from './auth/sessions.js';
import type { Call } from './call.js';
import { demand } from './results.js';
import { FamilyFlag } from './structures/delegate-public.js';
import { Handle, Protocol } from './structures/types.js';

export type Family = ReturnType<typeof findFamily>;

/** Whether this authorisation is itself a delegation. */
export const isDelegated = (call: Call, auth: GuestAuth): boolean =>
  auth.session.protocol === Protocol.DSAP || call.state.stclear.ownerReference !== Handle.OWNER;

/** A delegation acts within its family only. */
export function demandFamily({ session }: GuestAuth, familyID: number): void {
  demand(session.delegation.familyID === familyID, 'DELEGATE_FAMILY');
}

/** Ends every session that is bound to an entity: each may be a delegation that is no more. */
export function endBoundSessions(call: Call): void {
  const { stclear } = call.state;
  const own = call.auth?.handle;
  const ended = terminateBound(stclear.authSessions, own);
  if (own !== undefined && ended.includes(own)) call.endSessions();
  stclear.ownerReference = Handle.OWNER;
}

/** The family, which a delegation must itself be of, and which must be enabled for it. */
export function demandOwnFamily(call: Call<'one'>, familyID: number): Family {
  const family = findFamily(call, familyID);
  if (call.auth.session.protocol !== Protocol.DSAP) return family;
  demandFamily(call.auth, familyID);
  demand((family.flags & FamilyFlag.ENABLED) !== 0, 'DISABLED_CMD');
  return family;
}
