/**
 * The capability commands (TPM Main Part 3, §7; the areas of Part 2, §21): what this TPM is, and how
 * it stands. Areas and properties are tables, each entry with the sub-capability that it wants.
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
  struct,
  u16,
  u32,
  WireError,
} from '../../../wire/codec.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { lockoutSeconds } from '../dispatch.js';
import { type LoadedKey, OWNER_EVICT } from '../keys.js';
import { DURATIONS_US, LIMITS, TIMEOUTS_US } from '../limits.js';
import { findNv, freeNvBytes } from '../nv-area.js';
import { PERMANENT_FLAGS, permanentFlags } from '../permall.js';
import { demand, TpmFault } from '../results.js';
import { stclearFlags } from '../savestate.js';
import { NO_COUNTER, Protocol, STCLEAR_FLAGS, TestState } from '../state.js';
import {
  Algorithm,
  bitmap,
  capVersionInfo,
  daInfo,
  daInfoLimited,
  EncScheme,
  flagBytes,
  keyParms,
  nothing,
  nvDataPublic,
  STRUCT_VER_1_1,
  selectSize,
  sizedBuffer,
  structure,
} from '../structures.js';
import { Resource } from './authorisation.js';

/**
 * Who made this TPM, as it tells its guests: what libtpms says, since software that knows the answer
 * of one must not see another TPM behind the other.
 */
const MANUFACTURER = new TextEncoder().encode('IBM\0');
const TPM_VERSION = Uint8Array.of(0x01, 0x02, 0x12, 0x9e);
const SPEC_LEVEL = 2;
const ERRATA_REVISION = 3;

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

const allKeys = ({ state }: Call): LoadedKey[] => [
  ...state.permanent.evictKeys,
  ...state.loadedKeys,
];
const freeKeys = (call: Call): number => LIMITS.keyHandles - allKeys(call).length;
const sessionHandles = ({ state }: Call): number[] =>
  state.stclear.authSessions.flatMap(session => (session === undefined ? [] : [session.handle]));
const freeSessions = (call: Call): number => LIMITS.authSessions - sessionHandles(call).length;
const counterIds = ({ state }: Call): number[] =>
  state.permanent.data.counters.flatMap(({ valid }, id) => (valid ? [id] : []));
const contextHandles = ({ state }: Call): number[] =>
  state.stclear.contextList.filter(context => context !== 0);

/** The start effects that libtpms claims: keys, hashes, the audit digest. */
const STARTUP_EFFECTS = 0x54;

const Property = {
  MANUFACTURER: 0x103,
  TIS_TIMEOUT: 0x115,
  DURATION: 0x120,
} as const;

/** Part 2 §21.2, sub-capabilities of TPM_CAP_PROPERTY. */
// biome-ignore format: table
const PROPERTIES: Readonly<Record<number, (call: Call) => Uint8Array>> = {
  /* PCR */              257: () => word(LIMITS.pcrs),
  /* DIR */              258: () => word(1),
  [Property.MANUFACTURER]:      () => MANUFACTURER,
  /* KEYS */             260: call => word(freeKeys(call)),
  /* MIN_COUNTER */      263: () => word(0),
  /* AUTHSESS */         266: call => word(freeSessions(call)),
  /* TRANSESS */         267: () => word(LIMITS.transportSessions),
  /* COUNTERS */         268: call => word(LIMITS.counters - counterIds(call).length),
  /* MAX_AUTHSESS */     269: () => word(LIMITS.authSessions),
  /* MAX_TRANSESS */     270: () => word(LIMITS.transportSessions),
  /* MAX_COUNTERS */     271: () => word(LIMITS.counters),
  /* MAX_KEYS */         272: () => word(LIMITS.keyHandles),
  /* OWNER */            273: ({ state }) => yes(state.permanent.data.ownerInstalled),
  /* CONTEXT */          274: call => word(LIMITS.contexts - contextHandles(call).length),
  /* MAX_CONTEXT */      275: () => word(LIMITS.contexts),
  /* FAMILYROWS */       276: () => word(LIMITS.familyRows),
  [Property.TIS_TIMEOUT]:       () => words(TIMEOUTS_US),
  /* STARTUP_EFFECT */   278: () => word(STARTUP_EFFECTS),
  /* DELEGATE_ROW */     279: () => word(LIMITS.delegateRows),
  /* MAX_DAASESS */      281: () => word(LIMITS.daaSessions),
  /* DAASESS */          282: () => word(LIMITS.daaSessions),
  /* CONTEXT_DIST */     283: () => word(0xffff_ffff),
  /* DAA_INTERRUPT */    284: () => yes(true),
  /* SESSIONS */         285: call => word(freeSessions(call) + LIMITS.transportSessions),
  /* MAX_SESSIONS */     286: () => word(LIMITS.authSessions + LIMITS.transportSessions),
  /* CMK_RESTRICTION */  287: ({ state }) => word(state.permanent.data.restrictDelegate),
  [Property.DURATION]:          () => words(DURATIONS_US),
  /* ACTIVE_COUNTER */   290: ({ state }) => word(activeCounter(state.stclear.countID)),
  /* MAX_NV_AVAILABLE */ 291: ({ state }) => word(freeNvBytes(state.permanent.nv)),
  /* INPUT_BUFFER */     292: () => word(LIMITS.bufferBytes),
};

/** A counter that was released counts as none. */
const RELEASED_COUNTER = 0xffff_fffe;
const activeCounter = (id: number): number => (id === RELEASED_COUNTER ? NO_COUNTER : id);

/** The handles of each kind of resource, for TPM_CAP_HANDLE. */
// biome-ignore format: table
const HANDLES: Readonly<Record<number, (call: Call) => number[]>> = {
  [Resource.KEY]:     call => allKeys(call).map(key => key.handle),
  [Resource.AUTH]:    sessionHandles,
  [Resource.TRANS]:   () => [],
  [Resource.CONTEXT]: contextHandles,
  [Resource.COUNTER]: counterIds,
  [Resource.DAA]:     () => [],
};

const Area = { PROPERTY: 0x05, VERSION: 0x06, MFR: 0x10, VERSION_VAL: 0x1a } as const;

/** Part 2 §21.1 TPM_CAPABILITY_AREA. */
// biome-ignore format: table
const AREAS: Readonly<Record<number, Answer<Uint8Array>>> = {
  /* ORD */          1: by32(({ tpm }, ordinal) => yes(tpm.isImplemented(ordinal))),
  /* ALG */          2: by32(oneOf(Algorithm.RSA)),
  /* PID */          3: by16(oneOf(...Object.values(Protocol))),
  /* FLAG */         4: by32(flagsOf),
  [Area.PROPERTY]:         by32((call, property) => lookUp(PROPERTIES, property)(call)),
  [Area.VERSION]:          () => STRUCT_VER_1_1,
  /* KEY_HANDLE */   7: call => handles(HANDLES[Resource.KEY]!(call)),
  /* CHECK_LOADED */ 8: byStructure(keyParms, (call, parms) => yes(parms.rsa !== undefined && freeKeys(call) > 0)),
  /* SYM_MODE */     9: by32(oneOf()),
  /* KEY_STATUS */   12: by32(keyStatus),
  /* NV_LIST */      13: ({ state }) => words(state.permanent.nv.flatMap(entry => entry?.publicInfo.nvIndex ?? [])),
  /* NV_INDEX */     17: by32(({ state }, index) => encode(nvDataPublic, findNv(state.permanent.nv, index).publicInfo)),
  /* TRANS_ALG */    18: by32(oneOf(Algorithm.MGF1, Algorithm.AES128)),
  /* HANDLE */       20: by32((call, kind) => handles(lookUp(HANDLES, kind, 'BAD_PARAMETER')(call))),
  /* TRANS_ES */     21: by16(oneOf(EncScheme.SYM_CTR, EncScheme.SYM_OFB)),
  /* AUTH_ENCRYPT */ 23: by32(oneOf(Algorithm.XOR, Algorithm.AES128)),
  /* SELECT_SIZE */  24: byStructure(selectSize, (_call, { reqSize }) => yes(reqSize > 0 && reqSize <= LIMITS.pcrs / 8)),
  /* DA_LOGIC */     25: daLogic,
  [Area.VERSION_VAL]:      versionValue,
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
  const found = allKeys(call).find(key => key.handle === handle);
  demand(found !== undefined, 'INVALID_KEYHANDLE');
  return yes((found.keyControl & OWNER_EVICT) !== 0);
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

function versionValue(): Uint8Array {
  return encode(capVersionInfo, {
    version: TPM_VERSION,
    specLevel: SPEC_LEVEL,
    errataRev: ERRATA_REVISION,
    tpmVendorID: MANUFACTURER,
    vendorSpecific: new Uint8Array(),
  });
}

/** What even a TPM that failed its self-test tells, and one that has not finished it yet. */
const ALWAYS_PROPERTIES: readonly number[] = Object.values(Property);
const ALWAYS_AREAS: readonly number[] = [Area.VERSION, Area.VERSION_VAL, Area.MFR];

function tellsAlways(area: number, subCap: Uint8Array): boolean {
  if (area !== Area.PROPERTY) return ALWAYS_AREAS.includes(area);
  return subCap.length === 4 && ALWAYS_PROPERTIES.includes(new Reader(subCap).uint(4));
}

/** Tells what this TPM can do, and how it stands. */
export const getCapability = command({
  ordinal: 0x65,
  name: 'TPM_GetCapability',
  auth: 'none',
  when: 'started',
  input: struct({ capArea: u32, subCap: sizedBuffer }),
  output: struct({ resp: sizedBuffer }),
  run(call, { capArea, subCap }) {
    const { state } = call;
    if (!tellsAlways(capArea, subCap)) {
      demand(state.testState !== TestState.FAILURE, 'FAILEDSELFTEST');
      state.testState = TestState.FULL;
    }
    return { resp: lookUp(AREAS, capArea)(call, subCap) };
  },
});

/** Tells the owner the version, and all the flags. */
export const getCapabilityOwner = command({
  ordinal: 0x66,
  name: 'TPM_GetCapabilityOwner',
  auth: 'one',
  when: 'owned',
  input: nothing,
  output: struct({
    version: bytes(4),
    nonVolatileFlags: permanentFlags,
    volatileFlags: stclearFlagMap,
  }),
  run(call) {
    call.authoriseOwner();
    const { permanent, stclearFlags: volatileFlags } = call.state;
    return { version: TPM_VERSION, nonVolatileFlags: permanent.flags, volatileFlags };
  },
});
