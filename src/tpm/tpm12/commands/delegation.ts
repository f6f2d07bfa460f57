/**
 * Delegation (TPM Main Part 3, §19): families, blobs and rows. What uses them is in dsap.ts.
 * @module
 */
import { bool, concat, decode, encode, struct, u32 } from '../../../wire/codec.js';
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
import { terminateBound } from '../auth/sessions.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { entityOfKey, findKey } from '../keys/loaded.js';
import { LIMITS } from '../limits.js';
import { demand, TpmFault } from '../results.js';
import { noBytes20, secret } from '../structures/basic.js';
import { nothing, sizedBuffer } from '../structures/codecs.js';
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
const isDelegated = ({ auth, state }: Call): boolean =>
  auth.session.protocol === Protocol.DSAP || state.stclear.ownerReference !== Handle.OWNER;

/** A delegation acts within its family only. */
function demandFamily(call: Call, familyID: number): void {
  demand(call.auth.session.delegation.familyID === familyID, 'DELEGATE_FAMILY');
}

/** Ends every session that is bound to an entity: each may be a delegation that is no more. */
function endBoundSessions(call: Call): void {
  const { stclear } = call.state;
  const own = call.isAuthorised ? call.auth.handle : undefined;
  const ended = terminateBound(stclear.authSessions, own);
  if (own !== undefined && ended.includes(own)) call.endSessions();
  stclear.ownerReference = Handle.OWNER;
}

/** Counts a write without an owner, of which there may be so many. */
function nextNoOwnerWrite({ state }: Call): number {
  const writes = state.permanent.data.noOwnerNVWrite + 1;
  demand(writes <= LIMITS.noOwnerNvWrites, 'MAXNVWRITES');
  return writes;
}

/** Makes a family of delegations, enables it, locks it, or ends it. */
export const delegateManage = command({
  ordinal: 0xd2,
  name: 'TPM_Delegate_Manage',
  auth: 'optional',
  when: 'operational',
  input: struct({ familyID: u32, opCode: u32, opData: sizedBuffer }),
  output: struct({ retData: sizedBuffer }),
  run(call, { familyID, opCode, opData }) {
    const { data } = call.state.permanent;
    const makes = opCode === Operation.CREATE;
    const family = makes ? undefined : findFamily(call, familyID);
    let writes = data.noOwnerNVWrite;
    if (call.isAuthorised) {
      call.authoriseOwner();
      if (isDelegated(call) && !makes) demandFamily(call, familyID);
    } else {
      demand(!data.ownerInstalled, 'AUTHFAIL');
      demand(((family?.flags ?? 0) & FamilyFlag.ADMIN_LOCK) === 0, 'DELEGATE_LOCK');
      writes = nextNoOwnerWrite(call);
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
  switch (opCode) {
    case Operation.CREATE:
      return createFamily(call, opData);
    case Operation.ENABLE:
      setFlag(family!, FamilyFlag.ENABLED, flag());
      break;
    case Operation.ADMIN:
      setFlag(family!, FamilyFlag.ADMIN_LOCK, flag());
      break;
    case Operation.INVALIDATE:
      Object.assign(family!, {
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
function demandSubset(call: Call, wanted: DelegatePublic): Family {
  const family = findFamily(call, wanted.familyID);
  if (call.auth.session.protocol !== Protocol.DSAP) return family;
  demandFamily(call, wanted.familyID);
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
  ordinal: 0xd4,
  name: 'TPM_Delegate_CreateKeyDelegation',
  auth: 'one',
  when: 'owned',
  handleBytes: { input: 4, output: 0 },
  input: struct({ keyHandle: u32, publicInfo: delegatePublic, delAuth: secret }),
  output: struct({ blob: sizedBuffer }),
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
  ordinal: 0xd5,
  name: 'TPM_Delegate_CreateOwnerDelegation',
  auth: 'one',
  when: 'owned',
  input: struct({ increment: bool, publicInfo: delegatePublic, delAuth: secret }),
  output: struct({ blob: sizedBuffer }),
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
  ordinal: 0xd8,
  name: 'TPM_Delegate_LoadOwnerDelegation',
  auth: 'optional',
  when: 'operational',
  input: struct({ index: u32, blobSize: u32, blob: ownerBlob }),
  output: nothing,
  run(call, { index, blob }) {
    const { data } = call.state.permanent;
    const family = findEnabledFamily(call, blob.pub.familyID);
    let writes = data.noOwnerNVWrite;
    let authValue: Uint8Array;
    if (data.ownerInstalled) {
      demand(call.isAuthorised, 'AUTHFAIL');
      call.authoriseOwner();
      if (isDelegated(call)) demandFamily(call, blob.pub.familyID);
      demandProven(call, blob);
      authValue = openSecret(call, blob);
    } else {
      // There is nobody whom an authorisation could be of; libtpms answers it with a stray pointer.
      demand(!call.isAuthorised, 'AUTHFAIL');
      demand((family.flags & FamilyFlag.ADMIN_LOCK) === 0, 'DELEGATE_LOCK');
      writes = nextNoOwnerWrite(call);
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
  ordinal: 0xdb,
  name: 'TPM_Delegate_ReadTable',
  auth: 'none',
  when: 'operational',
  input: nothing,
  output: struct({ familyTable: sizedBuffer, delegateTable: sizedBuffer }),
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
  ordinal: 0xd1,
  name: 'TPM_Delegate_UpdateVerification',
  auth: 'one',
  when: 'owned',
  input: struct({ inputData: sizedBuffer }),
  output: struct({ outputData: sizedBuffer }),
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

function demandOwnFamily(call: Call, familyID: number): Family {
  const family = findFamily(call, familyID);
  if (call.auth.session.protocol !== Protocol.DSAP) return family;
  demandFamily(call, familyID);
  demand((family.flags & FamilyFlag.ENABLED) !== 0, 'DISABLED_CMD');
  return family;
}

/** Tells whether a delegation is good. */
export const delegateVerifyDelegation = command({
  ordinal: 0xd6,
  name: 'TPM_Delegate_VerifyDelegation',
  auth: 'none',
  when: 'owned',
  input: struct({ delegation: sizedBuffer }),
  output: nothing,
  run(call, { delegation }) {
    const blob = anyBlob(delegation);
    demandVerified(call, blob.pub);
    demandProven(call, blob);
    openSecret(call, blob);
    return {};
  },
});
