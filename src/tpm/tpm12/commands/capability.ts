/**
 * The capability commands (TPM Main Part 3, §7; the areas of Part 2, §21): what this TPM is, and
 * its state. Areas and properties are tables, each entry with the sub-capability that it wants.
 * @module
 */
import {
  array,
  bool,
  bytes,
  type Codec,
  concat,
  encode,
  Reader,
  u16,
  u32,
  WireError,
} from '../../../wire/codec.js';
import { lockoutSeconds } from '../auth/lockout.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { findLoaded } from '../keys/loaded.js';
import { DURATIONS_US, LIMITS, TIMEOUTS_US } from '../limits.js';
import { findNv, freeNvBytes } from '../nv-area.js';
import { demand, TpmFault } from '../results.js';
import { PERMANENT_FLAGS, permanentFlags } from '../state/permanent.js';
import { isOwnerEvict } from '../state/places.js';
import { stclearFlags } from '../state/savestate.js';
import { NO_COUNTER, RELEASED_COUNTER, STCLEAR_FLAGS, TestState } from '../state/state.js';
import { STRUCT_VER_1_1 } from '../structures/basic.js';
import {
  Capability,
  daInfo,
  daInfoLimited,
  Property,
  selectSize,
} from '../structures/capability-info.js';
import { bitmap, flagBytes, sizedBuffer, structure } from '../structures/codecs.js';
import { Algorithm, EncScheme, keyParms } from '../structures/key-parms.js';
import { nvDataPublic } from '../structures/nv-data.js';
import { Protocol, Resource } from '../structures/types.js';
import { MANUFACTURER, TPM_VERSION, versionInfo } from '../version.js';

/** Part 2 §7.1 TPM_PERMANENT_FLAGS on the bus: a byte a flag. */
const permanentFlagBytes = structure(0x001f, { flags: flagBytes(PERMANENT_FLAGS) });

const stclearFlagMap = bitmap(STCLEAR_FLAGS);

/** One answer, for the sub-capability that the guest sent. */
type Answer<S> = (call: Call, subCap: S) => Uint8Array;

const yes = (holds: boolean): Uint8Array => encode(bool, holds);

const word = (value: number): Uint8Array => encode(u32, value);

const words = (values: readonly number[]): Uint8Array =>
  encode(array(values.length, u32), [...values]);

const handles = (held: readonly number[]): Uint8Array =>
  concat(encode(u16, held.length), words(held));

/** An area that wants a sub-capability of exactly 4, or 2, bytes. */
const exactly =
  (codec: Codec<number>, answer: Answer<number>): Answer<Uint8Array> =>
  (call, subCap) => {
    demand(subCap.length === codec.size, 'BAD_MODE');
    return answer(call, codec.read(new Reader(subCap)));
  };

const by32 = (answer: Answer<number>): Answer<Uint8Array> => exactly(u32, answer);

const by16 = (answer: Answer<number>): Answer<Uint8Array> => exactly(u16, answer);

/** An area whose sub-capability is a structure. */
const byStructure =
  <T>(codec: Codec<T>, answer: Answer<T>): Answer<Uint8Array> =>
  (call, subCap) => {
    try {
      return answer(call, codec.read(new Reader(subCap)));
    } catch (error) {
      throw error instanceof WireError ? new TpmFault('BAD_PARAM_SIZE') : error;
    }
  };

const oneOf =
  (...known: readonly number[]): Answer<number> =>
  (_call, value) =>
    yes(known.includes(value));

const counterIds = ({ state }: Call): number[] =>
  state.permanent.data.counters.flatMap(({ valid }, id) => (valid ? [id] : []));

const contextHandles = ({ state }: Call): number[] =>
  state.stclear.contextList.filter(context => context !== 0);

/** The start effects that libtpms claims: keys, hashes, the audit digest. */
const STARTUP_EFFECTS = 0x54;

/** What each property is. */
// biome-ignore format: table
const PROPERTIES: Readonly<Record<number, (call: Call) => Uint8Array>> = {
  [Property.PCR]:              () => word(LIMITS.pcrs),
  [Property.DIR]:              () => word(1),
  [Property.MANUFACTURER]:     () => MANUFACTURER,
  [Property.KEYS]:             ({ state }) => word(state.keys.free),
  [Property.MIN_COUNTER]:      () => word(0),
  [Property.AUTHSESS]:         ({ state }) => word(state.stclear.authSessions.free),
  [Property.TRANSESS]:         ({ state }) => word(state.stclear.transSessions.free),
  [Property.COUNTERS]:         call => word(LIMITS.counters - counterIds(call).length),
  [Property.MAX_AUTHSESS]:     () => word(LIMITS.authSessions),
  [Property.MAX_TRANSESS]:     () => word(LIMITS.transportSessions),
  [Property.MAX_COUNTERS]:     () => word(LIMITS.counters),
  [Property.MAX_KEYS]:         () => word(LIMITS.keyHandles),
  [Property.OWNER]:            ({ state }) => yes(state.permanent.data.ownerInstalled),
  [Property.CONTEXT]:          call => word(LIMITS.contexts - contextHandles(call).length),
  [Property.MAX_CONTEXT]:      () => word(LIMITS.contexts),
  [Property.FAMILYROWS]:       () => word(LIMITS.familyRows),
  [Property.TIS_TIMEOUT]:      () => words(TIMEOUTS_US),
  [Property.STARTUP_EFFECT]:   () => word(STARTUP_EFFECTS),
  [Property.DELEGATE_ROW]:     () => word(LIMITS.delegateRows),
  [Property.MAX_DAASESS]:      () => word(LIMITS.daaSessions),
  [Property.DAASESS]:          ({ state }) => word(state.stclear.daaSessions.free),
  [Property.CONTEXT_DIST]:     () => word(0xffff_ffff),
  [Property.DAA_INTERRUPT]:    () => yes(true),
  [Property.SESSIONS]:         ({ state: { stclear } }) => word(stclear.authSessions.free + stclear.transSessions.free),
  [Property.MAX_SESSIONS]:     () => word(LIMITS.authSessions + LIMITS.transportSessions),
  [Property.CMK_RESTRICTION]:  ({ state }) => word(state.permanent.data.restrictDelegate),
  [Property.DURATION]:         () => words(DURATIONS_US),
  [Property.ACTIVE_COUNTER]:   ({ state }) => word(activeCounter(state.stclear.countID)),
  [Property.MAX_NV_AVAILABLE]: ({ state }) => word(freeNvBytes(state.permanent.nv)),
  [Property.INPUT_BUFFER]:     () => word(LIMITS.bufferBytes),
};

/** A counter that was released counts as none. */
const activeCounter = (id: number): number => (id === RELEASED_COUNTER ? NO_COUNTER : id);

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

/** What a TPM reports even before its self-test is complete, or after it failed. */
const ALWAYS_PROPERTIES: readonly number[] = [
  Property.MANUFACTURER,
  Property.TIS_TIMEOUT,
  Property.DURATION,
];

const ALWAYS_AREAS: readonly number[] = [
  Capability.VERSION,
  Capability.VERSION_VAL,
  Capability.MFR,
];

function tellsAlways(area: number, subCap: Uint8Array): boolean {
  if (area !== Capability.PROPERTY) return ALWAYS_AREAS.includes(area);
  return subCap.length === 4 && ALWAYS_PROPERTIES.includes(new Reader(subCap).uint(4));
}

/** Reports what this TPM can do, and its state. */
export const getCapability = command({
  ordinal: 'GetCapability',
  auth: 'none',
  when: 'started',
  selfTest: 'may be limited',
  input: { capArea: u32, subCap: sizedBuffer },
  output: { resp: sizedBuffer },
  run(call, { capArea, subCap }) {
    const { state } = call;
    if (!tellsAlways(capArea, subCap)) {
      demand(state.testState !== TestState.FAILURE, 'FAILEDSELFTEST');
      state.testState = TestState.FULL;
    }
    return { resp: lookUp(AREAS, capArea)(call, subCap) };
  },
});

/** Reports the version and all flags, for the owner. */
export const getCapabilityOwner = command({
  ordinal: 'GetCapabilityOwner',
  auth: 'one',
  when: 'owned',
  output: {
    version: bytes(4),
    nonVolatileFlags: permanentFlags,
    volatileFlags: stclearFlagMap,
  },
  run(call) {
    call.authoriseOwner();
    const { permanent, stclearFlags: volatileFlags } = call.state;
    return { version: TPM_VERSION, nonVolatileFlags: permanent.flags, volatileFlags };
  },
});
