/**
 * Delegation (TPM Main Part 3, §19): families, blobs and rows. What uses them is in dsap.ts.
 * @module
 */
import { bool, concat, decode, encode, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import {
  clearSecret,
  demandProven,
  demandVerified,
  findEnabledFamily,
  findFamily,
  findRow,
  openSecret,
  provenBlob,
  sealSecret,
} from '../auth/delegates.js';
import type { GuestAuth } from '../auth/guest-auth.js';
import { terminateBound } from '../auth/sessions.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { entityOfKey, findKey } from '../keys/loaded.js';
import { countNoOwnerWrite } from '../nv-area.js';
import { demand, TpmFault } from '../results.js';
import { noBytes20, secret } from '../structures/basic.js';
import { sizedBuffer } from '../structures/codecs.js';
import {
  anyBlob,
  type DelegatePublic,
  DelegateType,
  delegatePublic,
  encodeBlob,
  FamilyFlag,
  familyEntry,
  ownerBlob,
  publicRow,
} from '../structures/delegate-public.js';
import { Handle, Protocol } from '../structures/types.js';

const Operation = { CREATE: 1, ENABLE: 2, ADMIN: 3, INVALIDATE: 4 } as const;

/** Whether this authorisation is itself a delegation. */
const isDelegated = (call: Call, auth: GuestAuth): boolean =>
  auth.session.protocol === Protocol.DSAP || call.state.stclear.ownerReference !== Handle.OWNER;

/** A delegation acts within its family only. */
function demandFamily({ session }: GuestAuth, familyID: number): void {
  demand(session.delegation.familyID === familyID, 'DELEGATE_FAMILY');
}

/** Ends every session that is bound to an entity: each may be a delegation that is no more. */
function endBoundSessions(call: Call): void {
  const { stclear } = call.state;
  const own = call.auth?.handle;
  const ended = terminateBound(stclear.authSessions, own);
  if (own !== undefined && ended.includes(own)) call.endSessions();
  stclear.ownerReference = Handle.OWNER;
}

/** Makes a family of delegations, enables it, locks it, or ends it. */
export const delegateManage = command({
  ordinal: 'Delegate_Manage',
  auth: 'optional',
  when: 'operational',
  delegable: { owner: 2 },
  input: { familyID: u32, opCode: u32, opData: sizedBuffer },
  output: { retData: sizedBuffer },
  run(call, { familyID, opCode, opData }) {
    const { data } = call.state.permanent;
    const makes = opCode === Operation.CREATE;
    const family = makes ? undefined : findFamily(call, familyID);
    let writes = data.noOwnerNVWrite;
    const { auth } = call;
    if (auth !== undefined) {
      auth.authorise(call.owner);
      if (isDelegated(call, auth) && !makes) demandFamily(auth, familyID);
    } else {
      demand(!data.ownerInstalled, 'AUTHFAIL');
      demand(((family?.flags ?? 0) & FamilyFlag.ADMIN_LOCK) === 0, 'DELEGATE_LOCK');
      writes = countNoOwnerWrite(call);
    }
    endBoundSessions(call);
    const retData = operate(call, family, opCode, opData);
    data.noOwnerNVWrite = writes;
    call.altered = true;
    return { retData };
  },
});

type Family = ReturnType<typeof findFamily>;

function operate(
  call: Call,
  family: Family | undefined,
  opCode: number,
  opData: Uint8Array,
): Uint8Array {
  const flag = (): boolean => {
    demand(opData.length === 1, 'BAD_PARAM_SIZE');
    return opData[0] !== 0;
  };
  // Only TPM_FAMILY_CREATE comes without a family.
  if (family === undefined) return createFamily(call, opData);
  switch (opCode) {
    case Operation.ENABLE:
      setFlag(family, FamilyFlag.ENABLED, flag());
      break;
    case Operation.ADMIN:
      setFlag(family, FamilyFlag.ADMIN_LOCK, flag());
      break;
    case Operation.INVALIDATE:
      Object.assign(family, {
        label: 0,
        familyID: 0,
        verificationCount: 0,
        flags: 0,
        valid: false,
      });
      break;
    default:
      throw new TpmFault('BAD_PARAMETER');
  }
  return new Uint8Array();
}

function setFlag(family: Family, flag: number, value: boolean): void {
  family.flags = ((family.flags & ~flag) | (value ? flag : 0)) >>> 0;
}

function createFamily({ state }: Call, opData: Uint8Array): Uint8Array {
  const { data } = state.permanent;
  const row = data.familyTable.find(({ valid }) => !valid);
  demand(row !== undefined, 'RESOURCES');
  demand(opData.length === 1, 'BAD_PARAM_SIZE');
  data.lastFamilyID = (data.lastFamilyID + 1) % 2 ** 32;
  const familyID = data.lastFamilyID;
  Object.assign(row, { label: opData[0], familyID, verificationCount: 1, valid: true });
  setFlag(row, FamilyFlag.ENABLED, false);
  setFlag(row, FamilyFlag.ADMIN_LOCK, false);
  return encode(u32, familyID);
}

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

/** A blob that delegates, for who knows `authValue`. */
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

/** Keeps a delegation of the owner in the TPM. */
export const delegateLoadOwnerDelegation = command({
  ordinal: 'Delegate_LoadOwnerDelegation',
  auth: 'optional',
  when: 'operational',
  delegable: { owner: 24 },
  input: { index: u32, blobSize: u32, blob: ownerBlob },
  run(call, { index, blob }) {
    const { auth } = call;
    const { data } = call.state.permanent;
    const family = findEnabledFamily(call, blob.pub.familyID);
    let writes = data.noOwnerNVWrite;
    let authValue: Uint8Array;
    if (data.ownerInstalled) {
      demand(auth !== undefined, 'AUTHFAIL');
      auth.authorise(call.owner);
      if (isDelegated(call, auth)) demandFamily(auth, blob.pub.familyID);
      demandProven(call, blob);
      authValue = openSecret(call, blob);
    } else {
      // There is no owner whose authorisation it could be; libtpms follows a stray pointer.
      demand(auth === undefined, 'AUTHFAIL');
      demand((family.flags & FamilyFlag.ADMIN_LOCK) === 0, 'DELEGATE_LOCK');
      writes = countNoOwnerWrite(call);
      authValue = clearSecret(blob);
    }
    const row = data.delegateTable[index];
    demand(row !== undefined, 'BADINDEX');
    endBoundSessions(call);
    Object.assign(row, { pub: blob.pub, authValue, valid: true });
    data.noOwnerNVWrite = writes;
    call.altered = true;
    return {};
  },
});

/** The families, and the delegations that the TPM keeps. */
export const delegateReadTable = command({
  ordinal: 'Delegate_ReadTable',
  auth: 'none',
  when: 'operational',
  output: { familyTable: sizedBuffer, delegateTable: sizedBuffer },
  run({ state }) {
    const { familyTable, delegateTable } = state.permanent.data;
    const families = familyTable.filter(({ valid }) => valid).map(row => encode(familyEntry, row));
    const rows = delegateTable.flatMap(({ valid, pub }, index) =>
      valid ? [encode(publicRow, { index, pub })] : [],
    );
    return { familyTable: concat(...families), delegateTable: concat(...rows) };
  },
});

const INDEX_BYTES = 4;

/** Makes a delegation good again after its family was verified anew. */
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

function demandOwnFamily(call: Call<'one'>, familyID: number): Family {
  const family = findFamily(call, familyID);
  if (call.auth.session.protocol !== Protocol.DSAP) return family;
  demandFamily(call.auth, familyID);
  demand((family.flags & FamilyFlag.ENABLED) !== 0, 'DISABLED_CMD');
  return family;
}

/** Tells whether a delegation is good. */
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
