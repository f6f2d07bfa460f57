/**
 * Identities (TPM Main Part 3, §15): a key that speaks for this TPM without telling which one it is.
 * @module
 */
import { encode } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { entityOfKey, findKey, findSrk } from '../keys/loaded.js';
import { createKey, demandKeyProperties } from '../keys/making.js';
import { decryptWith, signWith, wrapSecret } from '../keys/use.js';
import { LIMITS } from '../limits.js';
import { ORDINALS } from '../ordinals.js';
import { demand } from '../results.js';
import { demandRelease } from '../state/pcr.js';
import { digest, STRUCT_VER_1_1, secret } from '../structures/basic.js';
import { sizedBuffer } from '../structures/codecs.js';
import {
  asymCaContents,
  EK_TYPE_ACTIVATE,
  ekBlob,
  ekBlobActivate,
  identityContents,
  symmetricKey,
  TAG_EK_BLOB,
} from '../structures/identity-contents.js';
import { AuthDataUsage, hasFlag, KeyUsage, publicOf, travellingKey } from '../structures/key.js';
import { pubkey } from '../structures/key-parms.js';
import { load } from '../structures/parsing.js';

/** Makes an identity key, which signs itself together with the one who is to certify it. */
export const makeIdentity = command({
  ordinal: 'MakeIdentity',
  auth: 'oneOrTwo',
  when: 'owned',
  delegable: { owner: 11, key: 17 },
  audited: 'from the start',
  input: { identityAuth: secret, labelPrivCADigest: digest, idKeyParams: travellingKey },
  output: { idKey: travellingKey, identityBinding: sizedBuffer },
  run(call, { identityAuth, labelPrivCADigest, idKeyParams }) {
    const { data, flags } = call.state.permanent;
    demandKeyProperties(idKeyParams, flags.FIPS, LIMITS.keyBits);
    const ownerAuth = call.auth2 ?? call.auth;
    ownerAuth.authorise(call.owner, 'OSAP', 'AUTH2FAIL');
    if (call.auth2 !== undefined) call.auth.authorise(entityOfKey(findSrk(call.state)));
    else demand(data.srk.authDataUsage === AuthDataUsage.NEVER, 'AUTHFAIL');
    demand(idKeyParams.keyUsage === KeyUsage.IDENTITY, 'INVALID_KEYUSAGE');
    demand(!hasFlag(idKeyParams, 'MIGRATABLE'), 'INVALID_KEYUSAGE');
    const usageAuth = ownerAuth.decrypt(identityAuth);
    call.endSessions();
    const key = createKey(call, idKeyParams);
    key.secret.usageAuth = usageAuth;
    key.secret.migrationAuth = data.tpmProof.slice();
    const idKey = { ...key, secret: wrapSecret(call, key, data.srk) };
    const contents = {
      ver: STRUCT_VER_1_1,
      ordinal: ORDINALS.MakeIdentity,
      labelPrivCADigest,
      identityPubKey: publicOf(key),
    };
    return { idKey, identityBinding: signWith(key, sha1(encode(identityContents, contents))) };
  },
});

/** Gives the owner the key that its certificate came under, where it came for this identity. */
export const activateIdentity = command({
  ordinal: 'ActivateIdentity',
  auth: 'oneOrTwo',
  when: 'owned',
  delegable: { owner: 10, key: 16 },
  audited: 'from the start',
  handles: { idKeyHandle: 'key' },
  input: { blob: sizedBuffer },
  output: { symmetricKey },
  run(call, { idKeyHandle, blob }) {
    (call.auth2 ?? call.auth).authorise(call.owner);
    const { key } = findKey(call, idKeyHandle);
    if (call.auth2 !== undefined) call.auth.authorise(entityOfKey(key), undefined, 'AUTH2FAIL');
    else demand(key.authDataUsage === AuthDataUsage.NEVER, 'AUTHFAIL');
    demand(key.keyUsage === KeyUsage.IDENTITY, 'BAD_PARAMETER');
    const clear = decryptWith(call.state.permanent.data.endorsementKey, blob);
    const idDigest = sha1(encode(pubkey, publicOf(key)));
    return { symmetricKey: sessionKeyOf(call, clear, idDigest) };
  },
});

/** The session key, out of the structure of TPM 1.2, which tells itself by its tag, or of 1.1. */
function sessionKeyOf(call: Call, clear: Uint8Array, idDigest: Uint8Array) {
  if (!TAG_EK_BLOB.every((byte, at) => byte === clear[at])) {
    const contents = load(asymCaContents, clear);
    demand(sameSecret(idDigest, contents.idDigest), 'BAD_PARAMETER');
    return contents.sessionKey;
  }
  const { ekType, blob } = load(ekBlob, clear);
  demand(ekType === EK_TYPE_ACTIVATE, 'BAD_TYPE');
  const activate = load(ekBlobActivate, blob);
  demand(sameSecret(idDigest, activate.idDigest), 'BAD_PARAMETER');
  demandRelease(call.state.stclear.pcrs, call.locality, activate.pcrInfo);
  return activate.sessionKey;
}
