/**
 * Changing secrets (TPM Main Part 3, §17): of what is wrapped or sealed, and of the owner.
 * @module
 */
import { encode, u16 } from '../../../wire/codec.js';
import { sameSecret, wipe } from '../../crypto/secrets.js';
import { bareSecret } from '../auth/guest-auth.js';
import { isBound } from '../auth/sessions.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { entityOfKey, findKey, findSrk } from '../keys/loaded.js';
import { decryptWith, encryptTo } from '../keys/use.js';
import { demand, TpmFault } from '../results.js';
import { noBytes20, secret } from '../structures/basic.js';
import { sizedBuffer } from '../structures/codecs.js';
import { KeyUsage, storeAsymkey } from '../structures/key.js';
import { load } from '../structures/parsing.js';
import { sealedData } from '../structures/stored-data.js';
import { EntityType, Protocol } from '../structures/types.js';

/** Gives a wrapped key, or sealed data, another secret. */
export const changeAuth = command({
  ordinal: 'ChangeAuth',
  auth: 'two',
  when: 'owned',
  delegable: { key: 6 },
  handles: { parentHandle: 'key' },
  input: { protocolID: u16, newAuth: secret, entityType: u16, encData: sizedBuffer },
  output: { outData: sizedBuffer },
  run(call, { parentHandle, protocolID, newAuth, entityType, encData }) {
    const known = entityType === EntityType.DATA || entityType === EntityType.KEY;
    demand(known, 'WRONG_ENTITYTYPE');
    const { key: parent } = findKey(call, parentHandle);
    call.auth.openSession(entityOfKey(parent), 'OSAP');
    call.auth2.openSession(bareSecret(noBytes20()), 'OIAP');
    demand(protocolID === Protocol.ADCP, 'BAD_PARAMETER');
    const changed = call.auth.decrypt(newAuth);
    call.auth.check();
    demand(parent.keyUsage === KeyUsage.STORAGE, 'INVALID_KEYUSAGE');
    const clear = decryptWith(parent, encData);
    const outData = encryptTo(call, parent, withSecret(call, entityType, clear, changed));
    call.endSessions();
    return { outData };
  },
});

/** The clear part of a key or of sealed data, with another secret; who changes it knows the old. */
function withSecret(
  call: Call<'two'>,
  entityType: number,
  clear: Uint8Array,
  changed: Uint8Array,
): Uint8Array {
  if (entityType === EntityType.KEY) {
    const key = load(storeAsymkey, clear);
    call.auth2.keyIs(key.usageAuth);
    call.auth2.check('AUTH2FAIL');
    return encode(storeAsymkey, { ...key, usageAuth: changed });
  }
  const sealed = load(sealedData, clear);
  const ours = sameSecret(sealed.tpmProof, call.state.permanent.data.tpmProof);
  demand(ours, 'AUTHFAIL');
  call.auth2.keyIs(sealed.authData);
  call.auth2.check('AUTH2FAIL');
  return encode(sealedData, { ...sealed, authData: changed });
}

/** Gives the owner, or the SRK, another secret. Every session of the owner ends. */
export const changeAuthOwner = command({
  ordinal: 'ChangeAuthOwner',
  auth: 'one',
  when: 'owned',
  audited: 'from the start',
  input: { protocolID: u16, newAuth: secret, entityType: u16 },
  run(call, { protocolID, newAuth, entityType }) {
    const { data } = call.state.permanent;
    call.authoriseOwner('OSAP');
    demand(protocolID === Protocol.ADCP, 'BAD_PARAMETER');
    const changed = call.auth.decrypt(newAuth);
    if (entityType === EntityType.OWNER) {
      wipe(data.ownerAuth);
      data.ownerAuth = changed;
    } else if (entityType === EntityType.SRK) findSrk(call.state).secret.usageAuth = changed;
    else throw new TpmFault('WRONG_ENTITYTYPE');
    endOwnerSessions(call);
    call.endSessions();
    call.altered = true;
    return {};
  },
});

/** Ends the owner's sessions, but for the one of this command, which ends with it. */
function endOwnerSessions({ auth, state: { stclear } }: Call<'one'>): void {
  for (const session of stclear.authSessions.all) {
    const owners = isBound(session) && session.entityType === EntityType.OWNER;
    if (owners && session.handle !== auth.handle) stclear.authSessions.remove(session.handle);
  }
}
