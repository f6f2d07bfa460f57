/**
 * What TPM_GetCapability reports (TPM Main Part 2, §21.1), a row an area, each with the
 * sub-capability that it wants.
 * @module
 */
import { encode } from '../../../wire/codec.js';
import { lockoutSeconds } from '../auth/lockout.js';
import type { Call } from '../call.js';
import { findLoaded } from '../keys/loaded.js';
import { LIMITS } from '../limits.js';
import { findNv } from '../nv-area.js';
import { demand, TpmFault } from '../results.js';
import { PERMANENT_FLAGS } from '../state/permanent.js';
import { isOwnerEvict } from '../state/places.js';
import { stclearFlags } from '../state/savestate.js';
import { STRUCT_VER_1_1 } from '../structures/basic.js';
import { Capability, daInfo, daInfoLimited, selectSize } from '../structures/capability-info.js';
import { flagBytes, structure } from '../structures/codecs.js';
import { Algorithm, EncScheme, keyParms } from '../structures/key-parms.js';
import { nvDataPublic } from '../structures/nv-data.js';
import { Protocol, Resource } from '../structures/types.js';
import { versionInfo } from '../version.js';
import {
  type Answer,
  by16,
  by32,
  byStructure,
  handles,
  oneOf,
  words,
  yes,
} from './capability-answers.js';
import { contextHandles, counterIds, PROPERTIES } from './capability-properties.js';

/** Part 2 §7.1 TPM_PERMANENT_FLAGS on the bus: a byte a flag. */
const permanentFlagBytes = structure(0x001f, { flags: flagBytes(PERMANENT_FLAGS) });

/** The handles of each kind of resource, for TPM_CAP_HANDLE. */
// biome-ignore format: table
const HANDLES: Readonly<Record<number, (call: Call) => number[]>> = {
  [Resource.KEY]:     ({ state }) => state.keys.handles,
  [Resource.AUTH]:    ({ state }) => state.stclear.authSessions.handles,
  [Resource.TRANS]:   ({ state }) => state.stclear.transSessions.handles,
  [Resource.CONTEXT]: contextHandles,
  [Resource.COUNTER]: counterIds,
  [Resource.DAA]:     ({ state }) => state.stclear.daaSessions.handles,
};

/** What each area tells, with the sub-capability that it wants. */
// biome-ignore format: table
const AREAS: Readonly<Record<number, Answer<Uint8Array>>> = {
  [Capability.ORD]:          by32(({ tpm }, ordinal) => yes(tpm.commands.get(ordinal) !== undefined)),
  [Capability.ALG]:          by32(oneOf(Algorithm.RSA)),
  [Capability.PID]:          by16(oneOf(...Object.values(Protocol))),
  [Capability.FLAG]:         by32(flagsOf),
  [Capability.PROPERTY]:     by32((call, property) => lookUp(PROPERTIES, property)(call)),
  [Capability.VERSION]:      () => STRUCT_VER_1_1,
  [Capability.KEY_HANDLE]:   call => handles(call.state.keys.handles),
  [Capability.CHECK_LOADED]: byStructure(keyParms, (call, parms) => yes(parms.rsa !== undefined && call.state.keys.free > 0)),
  [Capability.SYM_MODE]:     by32(oneOf()),
  [Capability.KEY_STATUS]:   by32(keyStatus),
  [Capability.NV_LIST]:      ({ state }) => words(state.permanent.nv.flatMap(entry => entry?.publicInfo.nvIndex ?? [])),
  [Capability.NV_INDEX]:     by32(({ state }, index) => encode(nvDataPublic, findNv(state.permanent.nv, index).publicInfo)),
  [Capability.TRANS_ALG]:    by32(oneOf(Algorithm.MGF1, Algorithm.AES128)),
  [Capability.HANDLE]:       by32((call, kind) => handles(lookUp(HANDLES, kind, 'BAD_PARAMETER')(call))),
  [Capability.TRANS_ES]:     by16(oneOf(EncScheme.SYM_CTR, EncScheme.SYM_OFB)),
  [Capability.AUTH_ENCRYPT]: by32(oneOf(Algorithm.XOR, Algorithm.AES128)),
  [Capability.SELECT_SIZE]:  byStructure(selectSize, (_call, { reqSize }) => yes(reqSize > 0 && reqSize <= LIMITS.pcrs / 8)),
  [Capability.DA_LOGIC]:     daLogic,
  [Capability.VERSION_VAL]:  versionInfo,
};

/**
 * What the TPM reports of an area.
 * @throws TpmFault BAD_MODE where there is no such area; for a sub-capability that the area does not
 *   have, its own code
 */
export function capabilityOf(call: Call, area: number, subCap: Uint8Array): Uint8Array {
  return lookUp(AREAS, area)(call, subCap);
}

function lookUp<T>(
  table: Readonly<Record<number, T>>,
  key: number,
  otherwise: 'BAD_MODE' | 'BAD_PARAMETER' = 'BAD_MODE',
): T {
  const found = table[key];
  demand(found !== undefined, otherwise);
  return found;
}

function flagsOf({ state }: Call, flag: number): Uint8Array {
  if (flag === 0x108) return encode(permanentFlagBytes, { flags: state.permanent.flags });
  if (flag === 0x109) return encode(stclearFlags, { flags: state.stclearFlags });
  throw new TpmFault('BAD_MODE');
}

function keyStatus(call: Call, handle: number): Uint8Array {
  return yes(isOwnerEvict(findLoaded(call.state.keys, handle)));
}

function daLogic({ tpm, state }: Call): Uint8Array {
  const seconds = lockoutSeconds(tpm);
  const common = {
    state: seconds > 0 ? 1 : 0,
    actionAtThreshold: { actions: 1 },
    vendorData: new Uint8Array(),
  };
  if (state.permanent.flags.disableFullDALogicInfo) return encode(daInfoLimited, common);
  return encode(daInfo, {
    ...common,
    currentCount: state.stclear.authFailCount,
    thresholdCount: LIMITS.authFailures,
    actionDependValue: seconds,
  });
}
