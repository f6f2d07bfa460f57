/**
 * Non-volatile storage (TPM Main Part 3, §20): defining, writing and reading NV indices. As long as
 * NV is not locked (a platform in the making), permissions are not asked.
 * @module
 */
import { u32 } from '../../../wire/codec.js';
import { hasMask } from '../../kernel/bits.js';
import { terminateEntity } from '../auth/sessions.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { LIMITS } from '../limits.js';
import {
  countNoOwnerWrite,
  demandNvRelease,
  demandReadable,
  demandWritable,
  findNv,
  freeNvBytes,
  nvDigest,
  permits,
  readNv,
  removeNv,
  writeNv,
} from '../nv-area.js';
import { demand, TpmFault } from '../results.js';
import { heldBytes, NV_INDEX_LOCK, type NvEntry } from '../state/permanent.js';
import { secret } from '../structures/basic.js';
import { sizedBuffer } from '../structures/codecs.js';
import { type NvDataPublic, NvPermission, nvDataPublic } from '../structures/nv-data.js';
import { ALL_LOCALITIES } from '../structures/pcr-info.js';
import { EntityType } from '../structures/types.js';

/** Part 2 §19.1: indices that mean something of their own, and the bits of an index. */
const NV_INDEX_0 = 0;

const NV_INDEX_DIR = 0x1000_0001;

const NV_INDEX_TRIAL = 0x0000_f004;

const D_BIT = 0x1000_0000;

const RESERVED_BITS = 0x0f00_0000;

/** Makes an NV index, makes it anew, or removes it; and locks NV. */
export const nvDefineSpace = command({
  ordinal: 'NV_DefineSpace',
  auth: 'optional',
  when: 'nvDefine',
  delegable: { owner: 14 },
  input: { pubInfo: nvDataPublic, encAuth: secret },
  run(call, { pubInfo, encAuth }) {
    const { data } = call.state.permanent;
    const { auth } = call;
    if (pubInfo.nvIndex === NV_INDEX_LOCK && auth === undefined) {
      demand(pubInfo.dataSize === 0, 'BADINDEX');
      call.setFlag('nvLocked', true);
      return {};
    }
    const locked = call.state.permanent.flags.nvLocked;
    demand(pubInfo.nvIndex !== NV_INDEX_0, 'BADINDEX');
    demand(!locked || !isPlatformIndex(pubInfo.nvIndex), 'BADINDEX');
    let authValue = encAuth;
    let writes = data.noOwnerNVWrite;
    if (auth !== undefined) {
      // The owner's OSAP session also carries the new index's secret, encrypted.
      auth.authorise(call.owner, 'OSAP');
      authValue = auth.decrypt(encAuth);
    } else {
      if (locked) demandUnowned(call, pubInfo);
      writes = countNoOwnerWrite(call);
    }
    define(call, pubInfo, authValue);
    data.noOwnerNVWrite = writes;
    call.endSessions();
    return {};
  },
});

const isPlatformIndex = (nvIndex: number): boolean => hasMask(nvIndex, D_BIT);

function demandUnowned(call: Call, pubInfo: NvDataPublic): void {
  call.demandPresence();
  demand(!call.state.permanent.data.ownerInstalled, 'OWNER_SET');
  demand(pubInfo.dataSize !== 0, 'BAD_DATASIZE');
}

function define(call: Call, pubInfo: NvDataPublic, authValue: Uint8Array): void {
  const { nv } = call.state.permanent;
  // The place is taken before the old index goes, so that a new one never stands where it stood.
  const hole = nv.indexOf(undefined);
  const place = hole < 0 ? nv.length : hole;
  const old = nv.find(entry => entry?.publicInfo.nvIndex === pubInfo.nvIndex);
  if (old !== undefined) {
    dropOld(call, old);
    if (pubInfo.dataSize === 0) return;
  }
  demandDefinable(pubInfo);
  demand(pubInfo.dataSize <= LIMITS.allocationBytes, 'SIZE');
  const entry: NvEntry = {
    publicInfo: { ...pubInfo, readSTClear: false, writeSTClear: false, writeDefine: false },
    authValue: authValue.slice(),
    data: new Uint8Array(heldBytes(pubInfo)).fill(0xff),
  };
  nv[place] = entry;
  if (freeNvBytes(nv) < 0) {
    nv[place] = undefined;
    throw new TpmFault('NOSPACE');
  }
  if (pubInfo.nvIndex === NV_INDEX_TRIAL) nv[place] = undefined;
  else call.altered = true;
}

function dropOld(call: Call, old: NvEntry): void {
  const { state } = call;
  if (state.permanent.flags.nvLocked) {
    const { bGlobalLock } = state.stclearFlags;
    demand(!(permits(old, 'GLOBALLOCK') && bGlobalLock), 'AREA_LOCKED');
    demand(!(permits(old, 'WRITE_STCLEAR') && old.publicInfo.writeSTClear), 'AREA_LOCKED');
  }
  const ended = terminateEntity(state.stclear.authSessions, EntityType.NV, nvDigest(old));
  if (call.auth !== undefined && ended.includes(call.auth.handle)) call.endSessions();
  removeNv(state.permanent.nv, old);
  call.altered = true;
}

const WRITABLE_BY = ['OWNERWRITE', 'AUTHWRITE', 'WRITEDEFINE', 'PPWRITE'] as const;

function demandDefinable({ nvIndex, permission, pcrInfoRead, dataSize }: NvDataPublic): void {
  const has = (bit: keyof typeof NvPermission): boolean =>
    hasMask(permission.attributes, NvPermission[bit]);
  demand(!(has('OWNERWRITE') && has('AUTHWRITE')), 'AUTH_CONFLICT');
  demand(!(has('OWNERREAD') && has('AUTHREAD')), 'AUTH_CONFLICT');
  // libtpms looks at the localities that may read, where the specification speaks of writing.
  const byLocality = pcrInfoRead.localityAtRelease !== ALL_LOCALITIES;
  demand(byLocality || WRITABLE_BY.some(has), 'PER_NOWRITE');
  const special = [NV_INDEX_LOCK, NV_INDEX_0, NV_INDEX_DIR].includes(nvIndex);
  const reserved = (nvIndex & RESERVED_BITS) !== 0;
  demand(!special && !reserved, 'BADINDEX');
  demand(dataSize !== 0, 'BAD_PARAM_SIZE');
}

/** Where a value lies, and what is written there. */
const writeInput = { nvIndex: u32, offset: u32, data: sizedBuffer };

/** Writes to an index that the owner, or nobody, guards; index 0 sets the global lock. */
export const nvWriteValue = command({
  ordinal: 'NV_WriteValue',
  auth: 'optional',
  when: 'working',
  delegable: { owner: 27 },
  input: writeInput,
  run(call, { nvIndex, offset, data }) {
    const { permanent, stclearFlags } = call.state;
    const dir = nvIndex === NV_INDEX_DIR;
    const global = nvIndex === NV_INDEX_0;
    const entry = dir || global ? undefined : findNv(permanent.nv, nvIndex);
    const { auth } = call;
    const byOwner = auth !== undefined;
    const ownersIndex = dir || (entry !== undefined && permits(entry, 'OWNERWRITE'));
    if (ownersIndex) demandInService(call);
    if (byOwner) {
      demand(entry === undefined || ownersIndex, 'AUTH_CONFLICT');
      auth.authorise(call.owner);
    }
    if (!byOwner && permanent.flags.nvLocked) demand(!ownersIndex, 'AUTH_CONFLICT');
    const counted = !byOwner && !global;
    const writes = counted ? countNoOwnerWrite(call) : permanent.data.noOwnerNVWrite;
    if (global) {
      demand(data.length === 0, 'BADINDEX');
      stclearFlags.bGlobalLock = true;
    } else if (entry === undefined) writeDir(call, offset, data);
    else writeUnguarded(call, entry, offset, data);
    if (call.altered) permanent.data.noOwnerNVWrite = writes;
    return {};
  },
});

/** An index of the owner's answers only while the TPM is in service, once NV is locked. */
function demandInService(call: Call): void {
  const { flags } = call.state.permanent;
  if (!flags.nvLocked) return;
  // libtpms leaves this command by a side door, past the end of the session.
  call.sparesSession = true;
  demand(!flags.disable, 'DISABLED');
  demand(!call.state.stclearFlags.deactivated, 'DEACTIVATED');
  call.sparesSession = false;
}

function writeUnguarded(call: Call, entry: NvEntry, offset: number, data: Uint8Array): void {
  demand(!permits(entry, 'AUTHWRITE'), 'AUTH_CONFLICT');
  if (call.state.permanent.flags.nvLocked) {
    if (permits(entry, 'PPWRITE')) call.demandPresence();
    demandWritable(call, entry);
    demandNvRelease(call, entry.publicInfo.pcrInfoWrite);
  }
  writeNv(call, entry, offset, data);
}

/** The data integrity register of TPM 1.1, that lives on as an index. */
function writeDir(call: Call, offset: number, data: Uint8Array): void {
  if (data.length === 0) return;
  const { authDIR } = call.state.permanent.data;
  demand(offset === 0 && data.length === authDIR.length, 'NOT_FULLWRITE');
  authDIR.set(data);
  call.altered = true;
}

/** Writes to an index that has a secret of its own. */
export const nvWriteValueAuth = command({
  ordinal: 'NV_WriteValueAuth',
  auth: 'one',
  when: 'owned',
  input: writeInput,
  run(call, { nvIndex, offset, data }) {
    const entry = findNv(call.state.permanent.nv, nvIndex);
    demand(permits(entry, 'AUTHWRITE'), 'AUTH_CONFLICT');
    call.auth.authorise({ secret: entry.authValue, digest: nvDigest(entry) });
    if (permits(entry, 'PPWRITE')) call.demandPresence();
    demandNvRelease(call, entry.publicInfo.pcrInfoWrite);
    demandWritable(call, entry);
    writeNv(call, entry, offset, data);
    return {};
  },
});

const readInput = { nvIndex: u32, offset: u32, dataSize: u32 };

const readOutput = { data: sizedBuffer };

/** Reads from an index that the owner, or nobody, guards. */
export const nvReadValue = command({
  ordinal: 'NV_ReadValue',
  auth: 'optional',
  when: 'working',
  delegable: { owner: 25 },
  input: readInput,
  output: readOutput,
  run(call, { nvIndex, offset, dataSize }) {
    const { permanent } = call.state;
    const entry = nvIndex === NV_INDEX_DIR ? undefined : findNv(permanent.nv, nvIndex);
    const ownersIndex = entry !== undefined && permits(entry, 'OWNERREAD');
    if (ownersIndex) demandInService(call);
    if (call.auth !== undefined) {
      demand(entry === undefined || ownersIndex, 'AUTH_CONFLICT');
      call.auth.openSession(call.owner);
      if (permanent.flags.nvLocked) call.auth.check();
    } else if (entry !== undefined) {
      demand(!permits(entry, 'AUTHREAD'), 'AUTH_CONFLICT');
      demand(!(permanent.flags.nvLocked && ownersIndex), 'AUTH_CONFLICT');
    }
    if (entry === undefined) return { data: readDir(permanent.data.authDIR, offset, dataSize) };
    if (permanent.flags.nvLocked) {
      if (permits(entry, 'PPREAD')) call.demandPresence();
      demandReadable(entry);
      demandNvRelease(call, entry.publicInfo.pcrInfoRead);
    }
    return { data: readNv(entry, offset, dataSize) };
  },
});

function readDir(authDIR: Uint8Array, offset: number, length: number): Uint8Array {
  demand(offset + length <= authDIR.length, 'NOSPACE');
  return authDIR.slice(offset, offset + length);
}

/** Reads from an index that has a secret of its own. */
export const nvReadValueAuth = command({
  ordinal: 'NV_ReadValueAuth',
  auth: 'one',
  when: 'owned',
  input: readInput,
  output: readOutput,
  run(call, { nvIndex, offset, dataSize }) {
    const entry = findNv(call.state.permanent.nv, nvIndex);
    demand(permits(entry, 'AUTHREAD'), 'AUTH_CONFLICT');
    call.auth.authorise({ secret: entry.authValue, digest: nvDigest(entry) });
    if (permits(entry, 'PPREAD')) call.demandPresence();
    demandNvRelease(call, entry.publicInfo.pcrInfoRead);
    demandReadable(entry);
    return { data: readNv(entry, offset, dataSize) };
  },
});
