/**
 * Keys (TPM Main Part 2, §10, and §5.8 to §5.10): TPM_KEY and TPM_KEY12 as they travel, and as libtpms
 * keeps them in `permall`, with the private part in clear: the modulus, the exponent and one prime.
 * @module
 */
import {
  bool,
  type Codec,
  encode,
  list,
  type Of,
  secretOf,
  struct,
  u8,
  u16,
  u32,
} from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';
import { digest, STRUCT_VER_1_1, secret, structVer } from './basic.js';
import { behindSize, embedded, restricted, sizedBuffer } from './codecs.js';
import { Algorithm, EncScheme, keyParms, SigScheme } from './key-parms.js';
import { pcrInfo, pcrInfoLong } from './pcr-info.js';

/** §5.8 TPM_KEY_USAGE, and what libtpms writes where there is no key. */
// biome-ignore format: table
export const KeyUsage = {
  NONE:       0,
  SIGNING:    0x0010,
  STORAGE:    0x0011,
  IDENTITY:   0x0012,
  AUTHCHANGE: 0x0013,
  BIND:       0x0014,
  LEGACY:     0x0015,
  MIGRATE:    0x0016,
} as const;

/** §5.9 TPM_AUTH_DATA_USAGE. */
export const AuthDataUsage = { NEVER: 0, ALWAYS: 1, NO_READ_PUBKEY: 3 } as const;

/** §5.10 TPM_KEY_FLAGS. */
// biome-ignore format: table
export const KeyFlag = {
  REDIRECTION:      0x01,
  MIGRATABLE:       0x02,
  VOLATILE:         0x04,
  PCRIGNOREDONREAD: 0x08,
  MIGRATEAUTHORITY: 0x10,
} as const;

const KEY_FLAGS = 0x1f;

type KeyFlags = { readonly keyFlags: number };

export const hasFlag = ({ keyFlags }: KeyFlags, flag: keyof typeof KeyFlag): boolean =>
  (keyFlags & KeyFlag[flag]) !== 0;

/** The 4 bytes before a key: a TPM_STRUCT_VER 1.1, or the tag of TPM_KEY12 and its filling. */
const KEY12 = Uint8Array.of(0x00, 0x28, 0x00, 0x00);

const keyHead: Codec<Uint8Array> = {
  size: 4,
  read(from) {
    const head = structVer.read(from);
    if (head[0] === 0) demand(isKey12(head), 'BAD_KEY_PROPERTY');
    else demand(head[0] === 1 && head[1] === 1, 'BAD_VERSION');
    return head;
  },
  write: (to, head) => structVer.write(to, head),
};

export const isKey12 = (head: Uint8Array): boolean => KEY12.every((byte, at) => byte === head[at]);

// biome-ignore format: table
const attributes = struct({
  keyUsage:       u16,
  keyFlags:       restricted(u32, flags => flags <= KEY_FLAGS, 'BAD_KEY_PROPERTY'),
  authDataUsage:  u8,
  algorithmParms: keyParms,
});

const info11 = embedded(pcrInfo);

const info12 = embedded(pcrInfoLong);

const modulus = sizedBuffer;

/** What a key says of itself in public. `pcrs11` is of a TPM_KEY, `pcrs12` of a TPM_KEY12. */
export type PublicPart = Of<typeof attributes> & {
  head: Uint8Array;
  pcrs11: Of<typeof info11>;
  pcrs12: Of<typeof info12>;
  pubKey: Uint8Array;
};

/** libtpms keeps the Endorsement Key without the PCR information that every other key has. */
function publicPartOf(kind: 'endorsement' | 'other'): Codec<PublicPart> {
  return {
    size: undefined,
    read(from) {
      const head = keyHead.read(from);
      const common = attributes.read(from);
      const pcrs = kind === 'other';
      const pcrs11 = pcrs && !isKey12(head) ? info11.read(from) : undefined;
      const pcrs12 = pcrs && isKey12(head) ? info12.read(from) : undefined;
      return { head, ...common, pcrs11, pcrs12, pubKey: modulus.read(from) };
    },
    write(to, key) {
      keyHead.write(to, key.head);
      attributes.write(to, key);
      if (kind === 'other' && !isKey12(key.head)) info11.write(to, key.pcrs11);
      if (kind === 'other' && isKey12(key.head)) info12.write(to, key.pcrs12);
      modulus.write(to, key.pubKey);
    },
  };
}

const publicPart = publicPartOf('other');

function keyOf<S>(pub: Codec<PublicPart>, rest: Codec<S>): Codec<PublicPart & { secret: S }> {
  return {
    size: undefined,
    read(from) {
      const open = pub.read(from);
      return { ...open, secret: rest.read(from) };
    },
    write(to, key) {
      pub.write(to, key);
      rest.write(to, key.secret);
    },
    wipe: rest.wipe && (key => rest.wipe?.(key.secret)),
  };
}

/** §10.2 TPM_KEY and §10.3 TPM_KEY12 as they travel: the secret part is encrypted, or in clear. */
export const travellingKey = keyOf(publicPart, sizedBuffer);

export type TravellingKey = Of<typeof travellingKey>;

/** §10.6 TPM_STORE_ASYMKEY in clear, with §10.7 TPM_STORE_PRIVKEY: one prime. */
// biome-ignore format: table
export const Payload = {
  ASYM:               0x01,
  BIND:               0x02,
  MIGRATE:            0x03,
  SEAL:               0x05,
  MIGRATE_RESTRICTED: 0x06,
  MIGRATE_EXTERNAL:   0x07,
  CMK_MIGRATE:        0x08,
} as const;

const ASYMMETRIC_PAYLOADS: readonly number[] = [
  Payload.ASYM,
  Payload.MIGRATE_RESTRICTED,
  Payload.MIGRATE_EXTERNAL,
];

// biome-ignore format: table
export const storeAsymkey = struct({
  payload:       restricted(u8, value => ASYMMETRIC_PAYLOADS.includes(value), 'INVALID_STRUCTURE'),
  usageAuth:     secret,
  migrationAuth: secret,
  pubDataDigest: digest,
  prime:         secretOf(sizedBuffer),
});

// biome-ignore format: table
const endorsementSecret = struct({
  pubDataDigest: digest,
  prime:         secretOf(sizedBuffer),
});

/** A key in `permall`, and the Endorsement Key there. */
export const keptKey = keyOf(publicPart, behindSize(storeAsymkey));

export const keptEndorsementKey = keyOf(publicPartOf('endorsement'), behindSize(endorsementSecret));

export type KeptKey = Of<typeof keptKey>;
export type KeyWithSecret = PublicPart & { secret: Of<typeof storeAsymkey> };

/** Whether a key is there with its private part: of a place without a key nothing is. */
export const hasSecret = (key: KeptKey): key is KeyWithSecret => key.secret !== undefined;

/** A key that is never kept without its private part. */
const wholeKey: Codec<KeyWithSecret> = {
  size: undefined,
  read(from) {
    const key = keptKey.read(from);
    demand(hasSecret(key), 'BAD_PARAMETER');
    return key;
  },
  write: keptKey.write,
  wipe: keptKey.wipe,
};

export type KeptEndorsementKey = Of<typeof keptEndorsementKey>;

/** A place in the TPM where there is no key. */
export const noKey = (): PublicPart & { secret: undefined } => ({
  head: STRUCT_VER_1_1.slice(),
  keyUsage: KeyUsage.NONE,
  keyFlags: 0,
  authDataUsage: AuthDataUsage.NEVER,
  algorithmParms: {
    algorithmID: Algorithm.NONE,
    encScheme: EncScheme.NONE,
    sigScheme: SigScheme.NONE,
    rsa: undefined,
    opaque: new Uint8Array(),
  },
  pcrs11: undefined,
  pcrs12: undefined,
  pubKey: new Uint8Array(),
  secret: undefined,
});

/** A key as TPM_PUBKEY tells of it. */
export const publicOf = ({
  algorithmParms,
  pubKey,
}: Pick<PublicPart, 'algorithmParms' | 'pubKey'>) => ({
  algorithmParms,
  pubKey,
});

/** The digest that a key's secret part carries of its public one. */
export const pubDataDigest = (key: PublicPart): Uint8Array => sha1(encode(publicPart, key));

/** A loaded key and its handle, as libtpms keeps both of owner-evict keys and of saved ones. */
// biome-ignore format: table
export const keyHandleEntry = struct({
  handle:          u32,
  key:             wholeKey,
  parentPCRStatus: bool,
  keyControl:      u32,
});

export type LoadedKey = Of<typeof keyHandleEntry>;

export const loadedKeys = (count: Codec<number>, max: number): Codec<LoadedKey[]> =>
  list(count, keyHandleEntry, Math.min(max, LIMITS.keyHandles));

/** keyControl: the owner keeps this key loaded over power cycles. */
export const OWNER_EVICT = 0x1;

const PAYLOAD_MAINT = 0x04;

const MIGRATING: readonly number[] = [Payload.MIGRATE, PAYLOAD_MAINT, Payload.CMK_MIGRATE];

/** Part 2 §10.8 TPM_MIGRATE_ASYMKEY. */
// biome-ignore format: table
export const migrateAsymkey = struct({
  payload:       restricted(u8, value => MIGRATING.includes(value), 'INVALID_STRUCTURE'),
  usageAuth:     secret,
  pubDataDigest: digest,
  partPrivKey:   secretOf(sizedBuffer),
});
