/**
 * Delegations as blobs (TPM Main Part 3, §19.2, §19.3, §19.6 and §19.7): made, renewed, verified.
 * What uses them is in dsap.ts.
 * @module
 */
import { bool, decode, encode, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import {
  demandProven,
  demandVerified,
  findFamily,
  findRow,
  openSecret,
  provenBlob,
  sealSecret,
} from '../auth/delegates.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { demandFamily, demandOwnFamily, endBoundSessions, type Family } from '../delegating.js';
import { entityOfKey, findKey } from '../keys/loaded.js';
import { demand } from '../results.js';
import { noBytes20, secret } from '../structures/basic.js';
import { sizedBuffer } from '../structures/codecs.js';
import {
  anyBlob,
  type DelegatePublic,
  DelegateType,
  delegatePublic,
  encodeBlob,
  FamilyFlag,
} from '../structures/delegate-public.js';
import { Protocol } from '../structures/types.js';

/** Demands that one delegation may make another: in its family, and with no more than it has. */
function demandSubset(call: Call<'one'>, wanted: DelegatePublic): Family {
  const family = findFamily(call, wanted.familyID);
  if (call.auth.session.protocol !== Protocol.DSAP) return family;
  demandFamily(call.auth, wanted.familyID);
  demand((family.flags & FamilyFlag.ENABLED) !== 0, 'DISABLED_CMD');
  const held = call.auth.session.delegation.permissions;
  const { per1, per2 } = wanted.permissions;
  demand((per1 & ~held.per1) === 0 && (per2 & ~held.per2) === 0, 'AUTHFAIL');
  return family;
}

/** A blob that delegates to holders of `authValue`. */
function makeBlob(
  call: Call,
  publicInfo: DelegatePublic,
  family: Family,
  authValue: Uint8Array,
  pubKeyDigest?: Uint8Array,
): Uint8Array {
  const blob = {
    pub: { ...publicInfo, verificationCount: family.verificationCount },
    integrityDigest: noBytes20(),
    additionalArea: new Uint8Array(),
    sensitiveArea: sealSecret(call, authValue),
    ...(pubKeyDigest && { pubKeyDigest }),
  };
  call.endSessions();
  return encodeBlob(provenBlob(call, blob));
}

/** Delegates the use of a key. */
export const delegateCreateKeyDelegation = command({
  ordinal: 'Delegate_CreateKeyDelegation',
  auth: 'one',
  when: 'owned',
  delegable: { key: 7 },
  handles: { keyHandle: 'key' },
  input: { publicInfo: delegatePublic, delAuth: secret },
  output: { blob: sizedBuffer },
  run(call, { keyHandle, publicInfo, delAuth }) {
    const { key } = findKey(call, keyHandle);
    call.auth.authorise(entityOfKey(key), 'OSAP');
    const family = demandSubset(call, publicInfo);
    demand(publicInfo.permissions.delegateType === DelegateType.KEY, 'BAD_PARAMETER');
    const authValue = call.auth.decrypt(delAuth);
    const digest = sha1(encode(sizedBuffer, key.pubKey));
    return { blob: makeBlob(call, publicInfo, family, authValue, digest) };
  },
});

/** Delegates what is the owner's. */
export const delegateCreateOwnerDelegation = command({
  ordinal: 'Delegate_CreateOwnerDelegation',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 1 },
  input: { increment: bool, publicInfo: delegatePublic, delAuth: secret },
  output: { blob: sizedBuffer },
  run(call, { increment, publicInfo, delAuth }) {
    call.authoriseOwner('OSAP');
    const family = demandSubset(call, publicInfo);
    demand(publicInfo.permissions.delegateType === DelegateType.OWNER, 'BAD_PARAMETER');
    const authValue = call.auth.decrypt(delAuth);
    if (increment) {
      family.verificationCount = (family.verificationCount + 1) % 2 ** 32;
      call.altered = true;
      endBoundSessions(call);
    }
    return { blob: makeBlob(call, publicInfo, family, authValue) };
  },
});

const INDEX_BYTES = 4;

/** Renews a delegation after its family's verification count changed. */
export const delegateUpdateVerification = command({
  ordinal: 'Delegate_UpdateVerification',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 5 },
  input: { inputData: sizedBuffer },
  output: { outputData: sizedBuffer },
  run(call, { inputData }) {
    call.authoriseOwner();
    if (inputData.length === INDEX_BYTES) {
      const row = findRow(call, decode(u32, inputData));
      const { verificationCount } = demandOwnFamily(call, row.pub.familyID);
      row.pub.verificationCount = verificationCount;
      call.altered = true;
      return { outputData: new Uint8Array() };
    }
    const blob = anyBlob(inputData);
    demandProven(call, blob);
    const { verificationCount } = demandOwnFamily(call, blob.pub.familyID);
    const updated = { ...blob, pub: { ...blob.pub, verificationCount } };
    return { outputData: encodeBlob(provenBlob(call, updated)) };
  },
});

/** Verifies a delegation. */
export const delegateVerifyDelegation = command({
  ordinal: 'Delegate_VerifyDelegation',
  auth: 'none',
  when: 'owned',
  input: { delegation: sizedBuffer },
  run(call, { delegation }) {
    const blob = anyBlob(delegation);
    demandVerified(call, blob.pub);
    demandProven(call, blob);
    openSecret(call, blob);
    return {};
  },
});
