/**
 * The audit of one command (TPM Main Part 3, §8).
 * @module
 */
import { encode, u32 } from '../../wire/codec.js';
import { sha1 } from '../crypto/hash.js';
import { StoreFailure } from '../engine.js';
import { extendAudit, startAudit } from './audit-log.js';
import { has } from './auth/transport-session.js';
import type { Call } from './call.js';
import { store } from './permanent-store.js';
import { TpmFault, TpmResult } from './results.js';
import { TestState } from './state/state.js';

/** Part 3 §8: a command whose audit fails has run, and the TPM fails after it. */
export function audit(call: Call, outParamDigest?: Uint8Array): void {
  try {
    if (startAudit(call.state)) store(call.tpm);
  } catch (error) {
    if (error instanceof StoreFailure) {
      call.state.testState = TestState.FAILURE;
      throw new TpmFault('AUDITFAIL_SUCCESSFUL');
    }
    throw error;
  }
  const { input, output } = audited(call, outParamDigest);
  extendAudit(call.state, input, output);
}

/** What is audited of a command. Of one that came encrypted only the ordinal is. */
function audited(
  { inParamDigest, ordinal, through, auditDigests }: Call,
  outParamDigest: Uint8Array | undefined,
): { input: Uint8Array; output: Uint8Array | undefined } {
  if (auditDigests !== undefined) return auditDigests;
  if (through === undefined || !has(through, 'ENCRYPT')) {
    return { input: inParamDigest, output: outParamDigest };
  }
  const code = encode(u32, ordinal);
  const output = outParamDigest && sha1(encode(u32, TpmResult.SUCCESS), code);
  return { input: sha1(code), output };
}
