/**
 * Ownership (TPM Main Part 3, §6): TPM_TakeOwnership, TPM_OwnerClear, TPM_ForceClear.
 * @module
 */
import { type Of, u16 } from '../../../wire/codec.js';
import { oaepDecrypt } from '../../crypto/rsa.js';
import { bareSecret } from '../auth/guest-auth.js';
import type { Call } from '../call.js';
import { clearOwner } from '../clearing.js';
import { command } from '../command.js';
import { createKey } from '../keys/making.js';
import { rsaKeyOf } from '../keys/numbers.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';
import { noBytes20 } from '../structures/basic.js';
import { sizedBuffer } from '../structures/codecs.js';
import { AuthDataUsage, KeyFlag, KeyUsage, travellingKey } from '../structures/key.js';
import { Algorithm, EncScheme, SigScheme } from '../structures/key-parms.js';
import { Protocol } from '../structures/types.js';

type SrkParams = Of<typeof travellingKey>;

/** Installs an owner, whose secrets come encrypted to the Endorsement Key, and makes an SRK. */
export const takeOwnership = command({
  ordinal: 'TakeOwnership',
  auth: 'one',
  when: 'enabled',
  audited: 'from the start',
  input: {
    protocolID: u16,
    encOwnerAuth: sizedBuffer,
    encSrkAuth: sizedBuffer,
    srkParams: travellingKey,
  },
  output: { srkPub: travellingKey },
  run(call, { protocolID, encOwnerAuth, encSrkAuth, srkParams }) {
    const { data, flags } = call.state.permanent;
    demand(!data.ownerInstalled, 'OWNER_SET');
    demand(flags.ownership, 'INSTALL_DISABLED');
    demand(data.endorsementKey.keyUsage !== KeyUsage.NONE, 'NO_ENDORSEMENT');
    call.auth.openSession(bareSecret(noBytes20()), 'OIAP');
    demand(protocolID === Protocol.OWNER, 'BAD_PARAMETER');
    const ownerAuth = decryptSecret(call, encOwnerAuth);
    call.auth.keyIs(ownerAuth);
    call.auth.check();
    demandSrkParams(srkParams, flags.FIPS);
    const srk = createKey(call, srkParams);
    data.srk = srk;
    call.altered = true;
    data.tpmProof = call.tpm.entropy(20);
    srk.secret.usageAuth = decryptSecret(call, encSrkAuth);
    srk.secret.migrationAuth = data.tpmProof.slice();
    data.ownerAuth = ownerAuth;
    data.ownerInstalled = true;
    data.contextKey = { ...data.contextKey, valid: true, key: call.tpm.entropy(16) };
    data.delegateKey = { ...data.delegateKey, valid: true, key: call.tpm.entropy(16) };
    flags.readPubek = false;
    return { srkPub: { ...data.srk, secret: new Uint8Array() } };
  },
});

/** A secret that was encrypted to the Endorsement Key. */
function decryptSecret({ state }: Call, encrypted: Uint8Array): Uint8Array {
  const ek = state.permanent.data.endorsementKey;
  demand(encrypted.length <= ek.pubKey.length, 'BAD_DATASIZE');
  const key = rsaKeyOf(ek);
  demand(key !== undefined, 'DECRYPT_ERROR');
  // It may be shorter than the key: zeros in front change nothing, for OpenSSL under libtpms too.
  const secret = oaepDecrypt(key, encrypted);
  demand(secret !== undefined && secret.length <= 20, 'DECRYPT_ERROR');
  demand(secret.length === 20, 'BAD_KEY_PROPERTY');
  return secret;
}

function demandSrkParams(params: SrkParams, fips: boolean): void {
  const { algorithmID, encScheme, sigScheme, rsa } = params.algorithmParms;
  demand(params.keyUsage === KeyUsage.STORAGE, 'INVALID_KEYUSAGE');
  demand((params.keyFlags & KeyFlag.MIGRATABLE) === 0, 'INVALID_KEYUSAGE');
  demand(algorithmID === Algorithm.RSA && rsa !== undefined, 'BAD_KEY_PROPERTY');
  demand(encScheme === EncScheme.RSAES_OAEP_SHA1_MGF1, 'BAD_KEY_PROPERTY');
  demand(sigScheme === SigScheme.NONE, 'BAD_KEY_PROPERTY');
  demand(rsa.keyLength >= LIMITS.ekBits, 'BAD_KEY_PROPERTY');
  demand(rsa.exponent.length === 0, 'BAD_KEY_PROPERTY');
  if (fips) demand(params.authDataUsage !== AuthDataUsage.NEVER, 'NOTFIPS');
  demand(rsa.keyLength <= LIMITS.srkBits, 'BAD_KEY_PROPERTY');
}

/** Removes the owner, with the owner's authorisation. */
export const ownerClear = command({
  ordinal: 'OwnerClear',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 16 },
  audited: 'from the start',
  run(call) {
    call.authoriseOwner();
    demand(!call.state.permanent.flags.disableOwnerClear, 'CLEAR_DISABLED');
    clearOwner(call);
    call.endSessions();
    return {};
  },
});

/** Removes the owner, by somebody who stands before the machine. */
export const forceClear = command({
  ordinal: 'ForceClear',
  auth: 'none',
  when: 'operational',
  audited: 'from the start',
  run(call) {
    call.demandPresence();
    demand(!call.state.stclearFlags.disableForceClear, 'CLEAR_DISABLED');
    clearOwner(call);
    return {};
  },
});

/** Forbids TPM_OwnerClear for as long as there is this owner. */
export const disableOwnerClear = command({
  ordinal: 'DisableOwnerClear',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 15 },
  audited: 'from the start',
  run(call) {
    call.authoriseOwner();
    call.setFlag('disableOwnerClear', true);
    return {};
  },
});

/** Forbids TPM_ForceClear until the next start. */
export const disableForceClear = command({
  ordinal: 'DisableForceClear',
  auth: 'none',
  when: 'operational',
  audited: 'from the start',
  run({ state }) {
    state.stclearFlags.disableForceClear = true;
    return {};
  },
});
