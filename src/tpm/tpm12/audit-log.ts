/**
 * Auditing (TPM Main Part 1, §28; Part 3, §8): a digest over the commands whose ordinal is audited,
 * and a counter that moves with the first of them after TPM_Startup(ST_CLEAR).
 * @module
 */
import { encode } from '../../wire/codec.js';
import { sha1 } from '../crypto/hash.js';
import { hasBit } from '../kernel/bits.js';
import { demand } from './results.js';
import type { TpmState } from './state/state.js';
import { auditEventIn, auditEventOut } from './structures/audit-event.js';

/** The bits of tscOrdinalAuditStatus, for the two connection ordinals. */
const TSC_ORDINALS = [0x4000_000a, 0x4000_000b];

const BITS = [1, 2, 4, 8, 16, 32, 64, 128] as const;

/** Whether an ordinal is audited. */
export function isAudited({ permanent: { data } }: TpmState, ordinal: number): boolean {
  if (ordinal < 8 * data.ordinalAuditStatus.length) {
    // Every command asks this twice: powers and divisions are dear here.
    return (data.ordinalAuditStatus[ordinal >>> 3]! & BITS[ordinal & 7]!) !== 0;
  }
  const bit = TSC_ORDINALS.indexOf(ordinal);
  return bit >= 0 && hasBit(data.tscOrdinalAuditStatus, bit);
}

/** The ordinals that are audited, from one on; those of the connection last. */
export const auditedOrdinals = (state: TpmState, from: number): number[] => {
  const low = Array.from(
    { length: 8 * state.permanent.data.ordinalAuditStatus.length },
    (_, at) => at,
  );
  return [...low.filter(ordinal => ordinal >= from), ...TSC_ORDINALS].filter(ordinal =>
    isAudited(state, ordinal),
  );
};

/**
 * Has an ordinal audited or not; true where that changed.
 * @throws TpmFault BADINDEX for an ordinal that there is no bit for
 */
export function setAudited(state: TpmState, ordinal: number, audited: boolean): boolean {
  const { data } = state.permanent;
  if (isAudited(state, ordinal) === audited) {
    demand(
      ordinal < 8 * data.ordinalAuditStatus.length || TSC_ORDINALS.includes(ordinal),
      'BADINDEX',
    );
    return false;
  }
  if (ordinal < 8 * data.ordinalAuditStatus.length) {
    data.ordinalAuditStatus[Math.floor(ordinal / 8)]! ^= 2 ** (ordinal % 8);
    return true;
  }
  const bit = TSC_ORDINALS.indexOf(ordinal);
  demand(bit >= 0, 'BADINDEX');
  data.tscOrdinalAuditStatus = (data.tscOrdinalAuditStatus ^ (2 ** bit)) >>> 0;
  return true;
}

/** Moves the counter where this is the first audited command; true where the state must be stored. */
export function startAudit({ permanent: { data }, stclear }: TpmState): boolean {
  if (stclear.auditDigest.some(byte => byte !== 0)) return false;
  const { value } = data.auditMonotonicCounter;
  value.counter = (value.counter + 1) % 2 ** 32;
  return true;
}

/** Folds a command and its answer into the digest; TPM_SaveState folds in the command alone. */
export function extendAudit(
  { permanent: { data }, stclear }: TpmState,
  inputParms: Uint8Array,
  outputParms?: Uint8Array,
): void {
  const auditCount = data.auditMonotonicCounter.value;
  const fold = (event: Uint8Array): void => {
    stclear.auditDigest = sha1(stclear.auditDigest, event);
  };
  fold(encode(auditEventIn, { inputParms, auditCount }));
  if (outputParms !== undefined) fold(encode(auditEventOut, { outputParms, auditCount }));
}
