/**
 * TPM 1.2 structures, in the order of TPM Main Part 2 and under its names. Where a structure does
 * not parse, the fault is the one that libtpms gives: a wrong tag is TPM_INVALID_STRUCTURE, a
 * selection of too many PCRs TPM_INVALID_PCR_INFO, and so on; bytes that are missing are left to
 * the caller, as a WireError.
 * @module
 */
import {
  bool,
  bytes,
  type Codec,
  encode,
  equal,
  flags64,
  type Of,
  Reader,
  sized,
  struct,
  u8,
  u16,
  u32,
} from '../../../wire/codec.js';
import { LIMITS } from '../limits.js';
import { demand, type TpmResultName } from '../results.js';

/** A codec that takes only some of the values of `inner`, and refuses others with a result code. */
export function restricted<T>(
  inner: Codec<T>,
  holds: (value: T) => boolean,
  otherwise: TpmResultName,
): Codec<T> {
  return {
    size: inner.size,
    read(from) {
      const value = inner.read(from);
      demand(holds(value), otherwise);
      return value;
    },
    write: (to, value) => inner.write(to, value),
  };
}

type Fields = Readonly<Record<string, Codec<unknown>>>;

/** A structure behind its tag of §3.1. */
export function structure<const F extends Fields>(
  tag: number,
  fields: F,
): ReturnType<typeof struct<F>> {
  const head = restricted(u16, value => value === tag, 'INVALID_STRUCTURE');
  const body = struct(fields);
  return {
    size: body.size === undefined ? undefined : body.size + 2,
    read(from) {
      head.read(from);
      return body.read(from);
    },
    write(to, value) {
      head.write(to, tag);
      body.write(to, value);
    },
  };
}

/**
 * Bytes behind their count, as all of TPM 1.2 has them. libtpms refuses a count that it would not
 * allocate before it looks whether the bytes are there, and so does this.
 */
const buffer = sized(u32);
export const sizedBuffer: Codec<Uint8Array> = {
  size: undefined,
  read(from) {
    const count = u32.read(from);
    demand(count <= LIMITS.allocationBytes, 'SIZE');
    return from.take(count);
  },
  write: (to, value) => buffer.write(to, value),
};

/**
 * A structure within a counted buffer, or nothing where the buffer is empty. Bytes of the buffer
 * past the structure are dropped, as libtpms drops them.
 */
export function embedded<T>(inner: Codec<T>): Codec<T | undefined> {
  return {
    size: undefined,
    read(from) {
      const held = sizedBuffer.read(from);
      return held.length === 0 ? undefined : inner.read(new Reader(held));
    },
    write: (to, value) =>
      sizedBuffer.write(to, value === undefined ? new Uint8Array() : encode(inner, value)),
  };
}

/**
 * A structure behind its count, or nothing where that is 0: libtpms writes how long the structure is,
 * and asks for no more than that when it reads.
 */
export function behindSize<T>(inner: Codec<T>): Codec<T | undefined> {
  return {
    size: undefined,
    read: from => (u32.read(from) === 0 ? undefined : inner.read(from)),
    write: embedded(inner).write,
  };
}

/** A structure within a counted buffer that must be there; bytes past it are dropped. */
export function parsedBuffer<T>(inner: Codec<T>): Codec<T> {
  return {
    size: undefined,
    read: from => inner.read(new Reader(sizedBuffer.read(from))),
    write: (to, value) => sizedBuffer.write(to, encode(inner, value)),
  };
}

/** Flags that lie in a 32-bit map, the first name in the lowest bit. */
export function bitmap<const N extends string>(names: readonly N[]): Codec<Record<N, boolean>> {
  return {
    size: 4,
    read(from) {
      let rest = u32.read(from);
      const flags = {} as Record<N, boolean>;
      for (const name of names) {
        flags[name] = rest % 2 === 1;
        rest = Math.floor(rest / 2);
      }
      return flags;
    },
    write: (to, flags) =>
      u32.write(
        to,
        names.reduce((map, name, bit) => map + (flags[name] ? 2 ** bit : 0), 0),
      ),
  };
}

/** Flags that lie one a byte. */
export const flagBytes = <const N extends string>(names: readonly N[]): Codec<Record<N, boolean>> =>
  struct(Object.fromEntries(names.map(name => [name, bool])) as Record<N, Codec<boolean>>);

/** §5.4 TPM_DIGEST, §5.5 TPM_NONCE, §5.6 TPM_AUTHDATA and TPM_SECRET: 20 bytes each. */
export const digest = bytes(20);
export const nonce = bytes(20);
export const secret = bytes(20);
export const noBytes20 = (): Uint8Array => new Uint8Array(20);

/** §5.1 TPM_STRUCT_VER. */
export const structVer = bytes(4);
export const STRUCT_VER_1_1 = Uint8Array.of(1, 1, 0, 0);

/** §5.1 TPM_STRUCT_VER where it must say 1.1. */
export const structVer11 = restricted(structVer, ([a, b]) => a === 1 && b === 1, 'BAD_VERSION');

/** §8.1 TPM_PCR_SELECTION: a map, PCR 0 in the lowest bit of the first byte. */
export const pcrSelection: Codec<Uint8Array> = {
  size: undefined,
  read(from) {
    const count = u16.read(from);
    demand(count <= LIMITS.pcrs / 8, 'INVALID_PCR_INFO');
    return from.take(count);
  },
  write: (to, value) => sized(u16).write(to, value),
};

/** §8.6 TPM_LOCALITY_SELECTION: a set of localities 0 to 4, and not the empty one. */
export const ALL_LOCALITIES = 0x1f;
const localitySelection = restricted(
  u8,
  set => set !== 0 && set <= ALL_LOCALITIES,
  'INVALID_STRUCTURE',
);

/** §8.3 TPM_PCR_INFO. */
// biome-ignore format: table
export const pcrInfo = struct({
  pcrSelection:     pcrSelection,
  digestAtRelease:  digest,
  digestAtCreation: digest,
});

/** §8.4 TPM_PCR_INFO_LONG. */
// biome-ignore format: table
export const pcrInfoLong = structure(0x0006, {
  localityAtCreation:   localitySelection,
  localityAtRelease:    localitySelection,
  creationPCRSelection: pcrSelection,
  releasePCRSelection:  pcrSelection,
  digestAtCreation:     digest,
  digestAtRelease:      digest,
});

/** §8.5 TPM_PCR_INFO_SHORT. */
// biome-ignore format: table
export const pcrInfoShort = struct({
  pcrSelection:      pcrSelection,
  localityAtRelease: localitySelection,
  digestAtRelease:   digest,
});
export type PcrInfoShort = Of<typeof pcrInfoShort>;
const noPcrInfoShort = (): PcrInfoShort => ({
  pcrSelection: new Uint8Array(3),
  localityAtRelease: ALL_LOCALITIES,
  digestAtRelease: noBytes20(),
});

/** TPM_PCR_INFO_SHORT as libtpms keeps it for NV: the digest lies there only where a PCR counts. */
const pcrInfoKept: Codec<PcrInfoShort> = {
  size: undefined,
  read(from) {
    const selection = pcrSelection.read(from);
    return {
      pcrSelection: selection,
      localityAtRelease: localitySelection.read(from),
      digestAtRelease: selectsAny(selection) ? digest.read(from) : noBytes20(),
    };
  },
  write(to, value) {
    pcrSelection.write(to, value.pcrSelection);
    localitySelection.write(to, value.localityAtRelease);
    if (selectsAny(value.pcrSelection)) digest.write(to, value.digestAtRelease);
  },
};

/** Whether a selection names any PCR at all. */
export const selectsAny = (selection: Uint8Array): boolean => selection.some(byte => byte !== 0);

/** §10.1.1 TPM_RSA_KEY_PARMS. An empty exponent stands for 65537. */
// biome-ignore format: table
export const rsaKeyParms = struct({
  keyLength: u32,
  numPrimes: u32,
  exponent:  sizedBuffer,
});

// biome-ignore format: table
export const Algorithm = { NONE: 0, RSA: 1, SHA: 4, HMAC: 5, AES128: 6, MGF1: 7, XOR: 10 } as const;
// biome-ignore format: table
export const EncScheme = { NONE: 1, RSAES_PKCS_V15: 2, RSAES_OAEP_SHA1_MGF1: 3, SYM_CTR: 4, SYM_OFB: 5 } as const;
// biome-ignore format: table
export const SigScheme = { NONE: 1, PKCS1_SHA1: 2, PKCS1_DER: 3, PKCS1_INFO: 4 } as const;

const keyParmsHead = struct({ algorithmID: u32, encScheme: u16, sigScheme: u16 });
const rsaParms = embedded(rsaKeyParms);

/** §10.1 TPM_KEY_PARMS: of an RSA key, or of no key yet (algorithm 0). */
export const keyParms: Codec<
  Of<typeof keyParmsHead> & { rsa: Of<typeof rsaKeyParms> | undefined; opaque: Uint8Array }
> = {
  size: undefined,
  read(from) {
    const head = keyParmsHead.read(from);
    const opaque = sizedBuffer.read(from);
    if (head.algorithmID === Algorithm.NONE) return { ...head, rsa: undefined, opaque };
    demand(head.algorithmID === Algorithm.RSA, 'BAD_KEY_PROPERTY');
    return { ...head, rsa: rsaKeyParms.read(new Reader(opaque)), opaque: new Uint8Array() };
  },
  write(to, value) {
    keyParmsHead.write(to, value);
    if (value.rsa === undefined) sizedBuffer.write(to, value.opaque);
    else rsaParms.write(to, value.rsa);
  },
};
export type KeyParms = Of<typeof keyParms>;

/** §10.5 TPM_PUBKEY. */
// biome-ignore format: table
export const pubkey = struct({
  algorithmParms: keyParms,
  pubKey:         sizedBuffer,
});
export type Pubkey = Of<typeof pubkey>;

/** Whether two public keys are the same, byte by byte. */
export const samePubkey = (a: Pubkey, b: Pubkey): boolean =>
  equal(encode(pubkey, a), encode(pubkey, b));

/** §13.2 TPM_COUNTER_VALUE, as everybody may see it. */
// biome-ignore format: table
export const counterValue = structure(0x000e, {
  label:   bytes(4),
  counter: u32,
});

/** §15.1 TPM_CURRENT_TICKS. The count is 64 bits wide, whatever a clock may say. */
// biome-ignore format: table
export const currentTicks = structure(0x0014, {
  currentTicks: flags64,
  tickRate:     u16,
  tickNonce:    nonce,
});

/** §19.2 TPM_NV_ATTRIBUTES. */
const nvAttributes = structure(0x0017, { attributes: u32 });

/** §19.2, the bits of TPM_NV_ATTRIBUTES. */
// biome-ignore format: table
export const NvPermission = {
  READ_STCLEAR:  0x8000_0000,
  AUTHREAD:      0x0004_0000,
  OWNERREAD:     0x0002_0000,
  PPREAD:        0x0001_0000,
  GLOBALLOCK:    0x0000_8000,
  WRITE_STCLEAR: 0x0000_4000,
  WRITEDEFINE:   0x0000_2000,
  WRITEALL:      0x0000_1000,
  AUTHWRITE:     0x0000_0004,
  OWNERWRITE:    0x0000_0002,
  PPWRITE:       0x0000_0001,
} as const;

const nvDataPublicOf = (pcr: Codec<PcrInfoShort>) =>
  // biome-ignore format: table
  structure(0x0018, {
    nvIndex:      u32,
    pcrInfoRead:  pcr,
    pcrInfoWrite: pcr,
    permission:   nvAttributes,
    readSTClear:  bool,
    writeSTClear: bool,
    writeDefine:  bool,
    dataSize:     u32,
  });

/** §19.3 TPM_NV_DATA_PUBLIC: what anybody may know about an NV index; and as `permall` keeps it. */
export const nvDataPublic = nvDataPublicOf(pcrInfoShort);
export const nvDataPublicKept = nvDataPublicOf(pcrInfoKept);
export type NvDataPublic = Of<typeof nvDataPublic>;

/** §20.2 TPM_DELEGATIONS. */
// biome-ignore format: table
const anyDelegations = structure(0x001a, {
  delegateType: u32,
  per1:         u32,
  per2:         u32,
});
export const DelegateType = { OWNER: 1, KEY: 2 } as const;
/** The bits of per1 that mean something; none of per2 does. */
const KEY_PERMISSIONS = 0x1fff_ffff;
const delegations = restricted(
  anyDelegations,
  ({ delegateType, per1, per2 }) =>
    per2 === 0 &&
    (delegateType === DelegateType.OWNER ||
      (delegateType === DelegateType.KEY && per1 <= KEY_PERMISSIONS)),
  'BAD_PARAMETER',
);

/** §20.4 TPM_DELEGATE_PUBLIC. */
// biome-ignore format: table
export const delegatePublic = structure(0x001b, {
  rowLabel:          u8,
  pcrInfo:           pcrInfoShort,
  permissions:       delegations,
  familyID:          u32,
  verificationCount: u32,
});
/** The same where it must be of one type. */
export const delegatePublicOf = (type: number): typeof delegatePublic =>
  restricted(
    delegatePublic,
    ({ permissions }) => permissions.delegateType === type,
    'INVALID_STRUCTURE',
  );
export type DelegatePublic = Of<typeof delegatePublic>;
export const noDelegatePublic = (): DelegatePublic => ({
  rowLabel: 0,
  pcrInfo: noPcrInfoShort(),
  permissions: { delegateType: DelegateType.KEY, per1: 0, per2: 0 },
  familyID: 0,
  verificationCount: 0,
});

/** §21.8 TPM_SELECT_SIZE. */
// biome-ignore format: table
export const selectSize = struct({
  major:   restricted(u8, value => value === 1, 'BAD_PARAMETER'),
  minor:   restricted(u8, value => value === 1 || value === 2, 'BAD_PARAMETER'),
  reqSize: u16,
});

/** §21.6 TPM_CAP_VERSION_INFO. */
// biome-ignore format: table
export const capVersionInfo = structure(0x0030, {
  version:        bytes(4),
  specLevel:      u16,
  errataRev:      u8,
  tpmVendorID:    bytes(4),
  vendorSpecific: sized(u16),
});

/** §21.10 TPM_DA_INFO and §21.11 TPM_DA_INFO_LIMITED, each with a §21.9 TPM_DA_ACTION_TYPE. */
const daActionType = structure(0x0039, { actions: u32 });
// biome-ignore format: table
export const daInfo = structure(0x0037, {
  state:             u8,
  currentCount:      u16,
  thresholdCount:    u16,
  actionAtThreshold: daActionType,
  actionDependValue: u32,
  vendorData:        sizedBuffer,
});
// biome-ignore format: table
export const daInfoLimited = structure(0x0038, {
  state:             u8,
  actionAtThreshold: daActionType,
  vendorData:        sizedBuffer,
});

/** Whatever is left. */
export const restOf: Codec<Uint8Array> = {
  size: undefined,
  read: from => from.take(from.left),
  write: (to, value) => to.put(value),
};

/** Nothing at all. */
export const nothing = struct({});
