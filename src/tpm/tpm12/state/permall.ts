/**
 * `permall`: everything that a TPM never loses, in libtpms's own byte format (TPM Main Part 2, §7.1
 * TPM_PERMANENT_FLAGS and §7.4 TPM_PERMANENT_DATA, the owner-evict keys and the NV area). It is one
 * declared structure with a SHA-1 behind it. The digest only shows errors: whoever edits a state can
 * compute it again, so every byte is parsed as an attacker's.
 * @module
 */
import {
  array,
  bool,
  bytes,
  type Codec,
  checked,
  concat,
  decode,
  encode,
  equal,
  type Of,
  struct,
  u8,
  u16,
  u32,
  WireError,
} from '../../../wire/codec.js';
import { sha1 } from '../../crypto/rsa.js';
import { type BlobName, StateError } from '../../engine.js';
import { LIMITS } from '../limits.js';
import { TpmFault } from '../results.js';
import {
  bitmap,
  counterValue,
  delegatePublic,
  digest,
  noBytes20,
  noDelegatePublic,
  nonce,
  nvDataPublicKept,
  pubkey,
  secret,
  structure,
} from '../structures/basic.js';
import { keptEndorsementKey, keptKey, loadedKeys, noKey } from '../structures/key.js';
import { auditedByDefault } from './audit-defaults.js';

/** Part 2 §7.1, in the order of the bits of the map and of the bytes on the bus. */
export const PERMANENT_FLAGS = [
  'disable',
  'ownership',
  'deactivated',
  'readPubek',
  'disableOwnerClear',
  'allowMaintenance',
  'physicalPresenceLifetimeLock',
  'physicalPresenceHWEnable',
  'physicalPresenceCMDEnable',
  'CEKPUsed',
  'TPMpost',
  'TPMpostLock',
  'FIPS',
  'operator',
  'enableRevokeEK',
  'nvLocked',
  'readSRKPub',
  'tpmEstablished',
  'maintenanceDone',
  'disableFullDALogicInfo',
] as const;
export type PermanentFlag = (typeof PERMANENT_FLAGS)[number];
export const permanentFlags = bitmap(PERMANENT_FLAGS);

/** A tag or a revision that has one value in this format. */
const version = (value: number): Codec<number> => checked(u16, found => found === value);
/** A byte that says that a part follows, and it always does. */
const present = checked(u8, found => found === 1);

/** The AES-128 key of an instance, as libtpms keeps it. */
// biome-ignore format: table
const symmetricKey = structure(0x0015, {
  valid: bool,
  fill:  u8,
  key:   bytes(16),
});
type SymmetricKey = Of<typeof symmetricKey>;

// biome-ignore format: table
const counter = struct({
  value:    counterValue,
  authData: secret,
  valid:    bool,
});
// biome-ignore format: table
const familyRow = struct({
  label:             u8,
  familyID:          u32,
  verificationCount: u32,
  flags:             u32,
  valid:             bool,
});
// biome-ignore format: table
const delegateRow = structure(0x001c, {
  pub:       delegatePublic,
  authValue: secret,
  valid:     bool,
});

// biome-ignore format: table
const permanentData = structure(0x0022, {
  tpmProof:              secret,
  ekReset:               nonce,
  ownerAuth:             secret,
  operatorAuth:          secret,
  authDIR:               digest,
  manuMaintPubPresent:   present,
  manuMaintPub:          pubkey,
  endorsementKey:        keptEndorsementKey,
  srk:                   keptKey,
  contextKey:            symmetricKey,
  delegateKey:           symmetricKey,
  auditMonotonicCounter: counter,
  counters:              array(LIMITS.counters, counter),
  ordinalAuditStatus:    bytes(32),
  familyTable:           array(LIMITS.familyRows, familyRow),
  delegateTable:         array(LIMITS.delegateRows, delegateRow),
  lastFamilyID:          u32,
  noOwnerNVWrite:        u32,
  restrictDelegate:      u32,
  tpmDAASeed:            nonce,
  ownerInstalled:        bool,
  tscOrdinalAuditStatus: u8,
  allowLoadMaintPub:     bool,
  daaProof:              nonce,
  daaBlobKey:            symmetricKey,
});

/** One NV index with what it holds. */
export interface NvEntry {
  publicInfo: Of<typeof nvDataPublicKept>;
  authValue: Uint8Array;
  data: Uint8Array;
}
/** Indices that stand for pins of the platform, and hold nothing of their own. */
const GPIO_FIRST = 0x0001_1600;
const GPIO_LAST = 0x0001_16ff;
export const isPin = ({ nvIndex }: NvEntry['publicInfo']): boolean =>
  nvIndex >= GPIO_FIRST && nvIndex <= GPIO_LAST;
/** How many bytes an index holds. */
export const heldBytes = (publicInfo: NvEntry['publicInfo']): number =>
  isPin(publicInfo) ? 0 : publicInfo.dataSize;

const nvHead = structure(0x0019, { publicInfo: nvDataPublicKept, authValue: secret });
const nvEntry: Codec<NvEntry> = {
  size: undefined,
  read(from) {
    const head = nvHead.read(from);
    return { ...head, data: from.take(heldBytes(head.publicInfo)) };
  },
  write(to, entry) {
    nvHead.write(to, entry);
    bytes(heldBytes(entry.publicInfo)).write(to, entry.data);
  },
};

/** The value of an NV index that marks a free place; it is never stored. */
export const NV_INDEX_LOCK = 0xffff_ffff;
const NV_ENTRY_BYTES_MIN = 53;
const nvCount = checked(u32, count => count <= LIMITS.permanentBytes / NV_ENTRY_BYTES_MIN);

/**
 * The NV area. In memory a deleted index leaves a hole, that the next one fills, as in libtpms: the
 * order of the entries is a part of the state. Holes are not stored.
 */
export const nvArea: Codec<(NvEntry | undefined)[]> = {
  size: undefined,
  read(from) {
    version(2).read(from);
    const entries = Array.from({ length: nvCount.read(from) }, () => nvEntry.read(from));
    if (!entries.some(entry => entry.publicInfo.nvIndex === NV_INDEX_LOCK)) return entries;
    throw new WireError('VALUE', 'an index that marks a free place');
  },
  write(to, entries) {
    const held = entries.filter(entry => entry !== undefined);
    version(2).write(to, 2);
    nvCount.write(to, held.length);
    for (const entry of held) nvEntry.write(to, entry);
  },
};

// biome-ignore format: table
const permanent = struct({
  format:        version(1),
  data:          permanentData,
  flagsVersion:  version(2),
  flags:         permanentFlags,
  evictVersion:  version(1),
  evictKeys:     loadedKeys(u16, LIMITS.ownerEvictKeys),
  nv:            nvArea,
});
export type Permanent = Of<typeof permanent>;

/** The bytes of `permall` for a state. */
/** Room for a TPM with an owner and an NV index or two (2050 bytes and what the indices take). */
const USUAL_BYTES = 4096;

export const encodePermall = (state: Permanent): Uint8Array =>
  withDigest(encode(permanent, state, USUAL_BYTES));

/**
 * The state that the bytes of `permall` hold, where they hold one to the last bit.
 * @throws StateError
 */
export function decodePermall(blob: Uint8Array): Permanent {
  return decodeBlob('permall', permanent, blob, LIMITS.permanentBytes);
}

/** The bytes of a blob with the SHA-1 over them behind. */
export const withDigest = (content: Uint8Array): Uint8Array => concat(content, sha1(content));

/**
 * Reads a blob of libtpms: a structure, and a SHA-1 over it. It is canonical: the bytes that the
 * value would be written as are the bytes that were there.
 * @throws StateError
 */
export function decodeBlob<T>(
  name: BlobName,
  codec: Codec<T>,
  blob: Uint8Array,
  bytesMax: number,
): T {
  const refuse = (why: string, cause?: unknown): StateError =>
    new StateError('MALFORMED', name, why, cause);
  if (blob.length > bytesMax) throw refuse(`${blob.length} bytes are more than ${bytesMax}`);
  if (blob.length < 20) throw refuse(`${blob.length} bytes are too few`);
  const content = blob.slice(0, -20);
  if (!equal(sha1(content), blob.slice(-20))) throw refuse('its digest does not match');
  try {
    const value = decode(codec, content);
    if (equal(encode(codec, value), content)) return value;
  } catch (error) {
    if (error instanceof WireError || error instanceof TpmFault) throw refuse(error.message, error);
    throw error;
  }
  throw refuse('it has bytes that mean nothing');
}

/** No AES key yet. */
export const noSymmetricKey = (): SymmetricKey => ({
  valid: false,
  fill: 0,
  key: new Uint8Array(16),
});
/** A counter that is not in use. */
const noCounter = (): Of<typeof counter> => ({
  value: { label: new Uint8Array(4), counter: 0 },
  authData: noBytes20(),
  valid: false,
});
export const noFamilies = (): Of<typeof familyRow>[] =>
  Array.from({ length: LIMITS.familyRows }, () => ({
    label: 0,
    familyID: 0,
    verificationCount: 0,
    flags: 0,
    valid: false,
  }));
export const noDelegates = (): Of<typeof delegateRow>[] =>
  Array.from({ length: LIMITS.delegateRows }, () => ({
    pub: noDelegatePublic(),
    authValue: noBytes20(),
    valid: false,
  }));

/** What a new TPM ships with: enabled and activated, as libtpms is built. */
const SHIPPED: readonly PermanentFlag[] = [
  'ownership',
  'readPubek',
  'allowMaintenance',
  'enableRevokeEK',
];

/** A TPM that nobody has used yet. */
export function freshPermanent(): Permanent {
  return {
    format: 1,
    data: freshData(),
    flagsVersion: 2,
    flags: Object.fromEntries(
      PERMANENT_FLAGS.map(flag => [flag, SHIPPED.includes(flag)]),
    ) as Permanent['flags'],
    evictVersion: 1,
    evictKeys: [],
    nv: [],
  };
}

function freshData(): Permanent['data'] {
  const none = noKey();
  return {
    tpmProof: noBytes20(),
    ekReset: noBytes20(),
    ownerAuth: noBytes20(),
    operatorAuth: noBytes20(),
    authDIR: noBytes20(),
    manuMaintPubPresent: 1,
    manuMaintPub: { algorithmParms: none.algorithmParms, pubKey: none.pubKey },
    endorsementKey: noKey(),
    srk: noKey(),
    contextKey: noSymmetricKey(),
    delegateKey: noSymmetricKey(),
    auditMonotonicCounter: noCounter(),
    counters: Array.from({ length: LIMITS.counters }, noCounter),
    ordinalAuditStatus: auditedByDefault(),
    familyTable: noFamilies(),
    delegateTable: noDelegates(),
    lastFamilyID: 0,
    noOwnerNVWrite: 0,
    restrictDelegate: 0,
    tpmDAASeed: noBytes20(),
    ownerInstalled: false,
    tscOrdinalAuditStatus: 0,
    allowLoadMaintPub: true,
    daaProof: noBytes20(),
    daaBlobKey: noSymmetricKey(),
  };
}
