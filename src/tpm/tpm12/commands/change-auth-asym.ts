/**
 * Changing the secret of a key without telling who knows the old one's parent (TPM Main Part 3,
 * §27.9, of TPM 1.1): through a key of the moment, that an identity vouches for.
 * @module
 */
import { encode, struct, u16, u32 } from '../../../wire/codec.js';
import { hmacSha1, sha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { authoriseKey, findKey } from '../keys/loaded.js';
import { createKey, demandKeyProperties } from '../keys/making.js';
import { decryptWith, encryptTo, signWith } from '../keys/use.js';
import { demand } from '../results.js';
import { digest, nonce, secret } from '../structures/basic.js';
import { certifyInfo } from '../structures/certify-info.js';
import { sizedBuffer } from '../structures/codecs.js';
import {
  AuthDataUsage,
  KeyFlag,
  KeyUsage,
  type KeyWithSecret,
  noKey,
  storeAsymkey,
  travellingKey,
} from '../structures/key.js';
import { keyParms } from '../structures/key-parms.js';
import { load } from '../structures/parsing.js';
import { EntityType, Handle } from '../structures/types.js';
import { certify1 } from './certify.js';

/** Makes a key of the moment. */
export const changeAuthAsymStart = command({
  ordinal: 'ChangeAuthAsymStart',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 26 },
  handles: { idHandle: 'key' },
  input: { antiReplay: nonce, inputKey: keyParms },
  output: { certifyInfo, sig: sizedBuffer, ephHandle: u32, tempKey: travellingKey },
  run(call, { idHandle, antiReplay, inputKey }) {
    const { key: identity } = findKey(call, idHandle);
    demand(identity.keyUsage === KeyUsage.IDENTITY, 'INVALID_KEYUSAGE');
    authoriseKey(call, identity);
    const template = {
      ...noKey(),
      keyUsage: KeyUsage.AUTHCHANGE,
      keyFlags: KeyFlag.VOLATILE,
      authDataUsage: AuthDataUsage.NEVER,
      algorithmParms: inputKey,
    };
    // A key of the moment needs no secret, whatever FIPS has to say of other keys.
    demandKeyProperties(
      { ...template, authDataUsage: AuthDataUsage.ALWAYS },
      call.state.permanent.flags.FIPS,
    );
    const key = createKey(call, template);
    const entry = { handle: 0, key, parentPCRStatus: false, keyControl: 0 };
    const info = certify1({ key, parentPCRStatus: true }, antiReplay);
    const sig = signWith(identity, sha1(encode(certifyInfo, info)));
    const ephHandle = call.state.keys.add(entry, call.tpm.entropy).handle;
    return { certifyInfo: info, sig, ephHandle, tempKey: { ...key, secret: new Uint8Array() } };
  },
});

const changeAuthValidate = struct({ newAuthSecret: secret, n1: nonce });

/** Takes the new secret, encrypted to the key of the moment, and proves that it has it. */
export const changeAuthAsymFinish = command({
  ordinal: 'ChangeAuthAsymFinish',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 25 },
  // libtpms counts one of the two where the command is wrapped.
  transport: { handleBytes: 4, keys: 1 },
  handles: { parentHandle: 'key', ephHandle: 'key' },
  input: { entityType: u16, newAuthLink: digest, encNewAuth: sizedBuffer, encData: sizedBuffer },
  output: { outData: sizedBuffer, saltNonce: nonce, changeProof: digest },
  run(call, { parentHandle, ephHandle, entityType, newAuthLink, encNewAuth, encData }) {
    const { key: parent } = findKey(call, parentHandle);
    authoriseParent(call, parentHandle, parent);
    demand(entityType === EntityType.KEY, 'WRONG_ENTITYTYPE');
    demand(parent.keyUsage === KeyUsage.STORAGE, 'INVALID_KEYUSAGE');
    const key = load(storeAsymkey, decryptWith(parent, encData));
    const { key: ephemeral } = findKey(call, ephHandle);
    demand(ephemeral.keyUsage === KeyUsage.AUTHCHANGE, 'BAD_PARAMETER');
    const { newAuthSecret, n1 } = load(changeAuthValidate, decryptWith(ephemeral, encNewAuth));
    demand(sameSecret(hmacSha1(key.usageAuth, newAuthSecret), newAuthLink), 'AUTHFAIL');
    const changed = encode(storeAsymkey, { ...key, usageAuth: newAuthSecret });
    const outData = encryptTo(call, parent, changed);
    const saltNonce = call.tpm.entropy(20);
    call.state.keys.remove(ephHandle);
    return { outData, saltNonce, changeProof: hmacSha1(newAuthSecret, saltNonce, n1) };
  },
});

/** Under the SRK it is the owner who changes secrets. */
function authoriseParent(call: Call, handle: number, parent: KeyWithSecret): void {
  if (call.auth !== undefined && handle === Handle.SRK) call.auth.authorise(call.owner);
  else authoriseKey(call, parent);
}
