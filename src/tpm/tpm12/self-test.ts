/**
 * The self-test (TPM Main Part 1, §11): the Endorsement Key must be the key that it says it is, and
 * decrypt what is encrypted to it. What node:crypto is made of is tested by OpenSSL.
 * @module
 */
import { equal } from '../../wire/codec.js';
import { isSound } from '../crypto/rsa.js';
import type { RsaKey } from '../crypto/rsa-keys.js';
import { rsaKeyOf } from './keys/numbers.js';
import { TpmFault } from './results.js';
import { TestState, type TpmState } from './state/state.js';
import { type KeptEndorsementKey, KeyUsage, pubDataDigest } from './structures/key.js';

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
  const key = numbersOf(ek);
  if (key === undefined || ek.secret === undefined) return false;
  return equal(pubDataDigest(ek), ek.secret.pubDataDigest) && isSound(key);
}

function numbersOf(ek: KeptEndorsementKey): RsaKey | undefined {
  try {
    return rsaKeyOf(ek);
  } catch (error) {
    if (error instanceof TpmFault) return undefined;
    throw error;
  }
}
