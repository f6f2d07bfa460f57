/**
 * Permanent data (TPM Main Part 2, §7.1 TPM_PERMANENT_FLAGS and §7.4 TPM_PERMANENT_DATA, the owner-
 * evict keys and the NV area), as one declared structure in libtpms's byte format.
 * @module
 */
import {
  array,
  bool,
  bytes,
  type Codec,
  checked,
  type Of,
  secretOf,
  struct,
  u8,
  u16,
  u32,
  WireError,
  wipe,
} from '../../../wire/codec.js';
import { LIMITS } from '../limits.js';
import { counterValue, digest, secret } from '../structures/basic.js';
import { bitmap, structure } from '../structures/codecs.js';
import { delegatePublic } from '../structures/delegate-public.js';
import { keptEndorsementKey, keptKey, loadedKeys } from '../structures/key.js';
import { pubkey } from '../structures/key-parms.js';
import { nvDataPublicKept } from '../structures/nv-data.js';

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
  key:   secretOf(bytes(16)),
});

export type SymmetricKey = Of<typeof symmetricKey>;

// biome-ignore format: table
export const counter = struct({
  value:    counterValue,
  authData: secret,
  valid:    bool,
});

// biome-ignore format: table
export const familyRow = struct({
  label:             u8,
  familyID:          u32,
  verificationCount: u32,
  flags:             u32,
  valid:             bool,
});

// biome-ignore format: table
export const delegateRow = structure(0x001c, {
  pub:       delegatePublic,
  authValue: secret,
  valid:     bool,
});

// biome-ignore format: table
const dataFields = {
  tpmProof:              secret,
  ekReset:               secret,
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
  tpmDAASeed:            secret,
  ownerInstalled:        bool,
  tscOrdinalAuditStatus: u8,
  allowLoadMaintPub:     bool,
  daaProof:              secret,
  daaBlobKey:            symmetricKey,
} as const;
export const permanentData = structure(0x0022, dataFields);

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
  wipe(entry) {
    wipe(nvHead, entry);
    entry.data.fill(0);
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
  wipe(entries) {
    for (const entry of entries) if (entry !== undefined) wipe(nvEntry, entry);
  },
};

// biome-ignore format: table
export const permanent = struct({
  format:        version(1),
  data:          permanentData,
  flagsVersion:  version(2),
  flags:         permanentFlags,
  evictVersion:  version(1),
  evictKeys:     loadedKeys(u16, LIMITS.ownerEvictKeys),
  nv:            nvArea,
});

export type Permanent = Of<typeof permanent>;

/** What TPM_OwnerClear makes the TPM forget. */
const OWNERS_SECRETS = [
  'ownerAuth',
  'operatorAuth',
  'tpmProof',
  'srk',
  'contextKey',
  'delegateKey',
  'counters',
  'delegateTable',
] as const satisfies readonly (keyof Permanent['data'])[];

const ownersSecrets = struct(
  Object.fromEntries(OWNERS_SECRETS.map(name => [name, dataFields[name]])) as Pick<
    typeof dataFields,
    (typeof OWNERS_SECRETS)[number]
  >,
);

/** Overwrites the secrets of an owner who is cleared. */
export const wipeOwner = (data: Permanent['data']): void => wipe(ownersSecrets, data);

/**
 * Overwrites the secrets of a permanent state that is dropped. Loaded keys may live on elsewhere.
 */
export function wipePermanent({ data, nv }: Permanent): void {
  wipe(permanentData, data);
  wipe(nvArea, nv);
}
