/**
 * The self-test (TPM Main Part 1, §11): the Endorsement Key must be the key that it says it is, and
 * decrypt what is encrypted to it. What node:crypto is made of is tested by OpenSSL.
 * @module
 */
import { isSound } from './crypto.js';
import { KeyUsage, pubDataDigest, rsaKeyOf } from './keys.js';
import { TpmFault } from './results.js';
import { TestState, type TpmState } from './state.js';

/** @throws TpmFault FAILEDSELFTEST, and the TPM is in failure mode */
export function selfTest(state: TpmState): void {
  if (passes(state)) return;
  state.testState = TestState.FAILURE;
  throw new TpmFault('FAILEDSELFTEST');
}

/** Whether the Endorsement Key, if there is one, is sound. */
export function passes({ permanent }: TpmState): boolean {
  const ek = permanent.data.endorsementKey;
  if (ek.keyUsage === KeyUsage.NONE) return true;
  const key = rsaKeyOf(ek);
  if (key === undefined || ek.secret === undefined) return false;
  return Buffer.compare(pubDataDigest(ek), ek.secret.pubDataDigest) === 0 && isSound(key);
}
