/**
 * The TPM 1.2 structures that a guest writes and reads, as this client sees them. They are declared
 * here again and not shared with the engine, so that the two can check each other.
 * Source: TPM Main Part 2, under its names.
 * @module
 */
import { createHash } from 'node:crypto';
import {
  bool,
  bytes,
  checked,
  concat,
  encode,
  type Of,
  sized,
  struct,
  tagged,
  u8,
  u16,
  u32,
} from '../wire/codec.js';

/** §5.4 TPM_DIGEST, §5.5 TPM_NONCE and §5.6 TPM_AUTHDATA: 20 bytes each. */
export const digest = bytes(20);
export const nonce = digest;

export const ALGORITHM = { RSA: 1 } as const;
export const ENC_SCHEME = { NONE: 1, RSAESOAEP_SHA1_MGF1: 3 } as const;
export const SIG_SCHEME = { NONE: 1 } as const;
const KEY_STORAGE = 0x0011;
const AUTH_ALWAYS = 1;

/** §10.1.1 TPM_RSA_KEY_PARMS. An exponent of no bytes stands for 65537. */
export const rsaKeyParms = struct({ keyLength: u32, numPrimes: u32, exponent: sized(u32) });

/** §10.1 TPM_KEY_PARMS. */
export const keyParms = struct({
  algorithmId: u32,
  encScheme: u16,
  sigScheme: u16,
  parms: sized(u32),
});
/** A TPM_KEY_PARMS, decoded. */
export type KeyParms = Of<typeof keyParms>;

/** §10.5 TPM_PUBKEY: what it takes to use the public part of a key. */
export const pubKey = struct({ algorithmParms: keyParms, modulus: sized(u32) });
/** A TPM_PUBKEY, decoded. */
export type PubKey = Of<typeof pubKey>;

const version11 = checked(
  struct({ major: u8, minor: u8, revMajor: u8, revMinor: u8 }),
  ({ major, minor }) => major === 1 && minor === 1,
);

/** §10.2 TPM_KEY, version 1.1. */
// biome-ignore format: table
export const key11 = struct({
  ver:            version11,
  keyUsage:       u16,
  keyFlags:       u32,
  authDataUsage:  u8,
  algorithmParms: keyParms,
  pcrInfo:        sized(u32),
  modulus:        sized(u32),
  encData:        sized(u32),
});
/** A TPM_KEY, decoded. */
export type Key11 = Of<typeof key11>;

/** RSA-2048 for OAEP encryption: what the EK and the SRK must be, and what trousers asks for. */
export const RSA_2048: KeyParms = {
  algorithmId: ALGORITHM.RSA,
  encScheme: ENC_SCHEME.RSAESOAEP_SHA1_MGF1,
  sigScheme: SIG_SCHEME.NONE,
  parms: encode(rsaKeyParms, { keyLength: 2048, numPrimes: 2, exponent: new Uint8Array() }),
};

/** The SRK template that trousers sends with TPM_TakeOwnership. */
export const SRK_TEMPLATE: Key11 = {
  ver: { major: 1, minor: 1, revMajor: 0, revMinor: 0 },
  keyUsage: KEY_STORAGE,
  keyFlags: 0,
  authDataUsage: AUTH_ALWAYS,
  algorithmParms: RSA_2048,
  pcrInfo: new Uint8Array(),
  modulus: new Uint8Array(),
  encData: new Uint8Array(),
};

/** §8.5 TPM_PCR_INFO_SHORT: which PCRs must hold what, and from which localities. */
export const pcrInfoShort = struct({
  pcrSelection: sized(u16),
  localityAtRelease: u8,
  digestAtRelease: digest,
});
/** A TPM_PCR_INFO_SHORT, decoded. */
export type PcrInfoShort = Of<typeof pcrInfoShort>;

/** One bit for each of the localities 0 to 4. */
export const EVERY_LOCALITY = 0x1f;
/** One bit for each of 24 PCRs. */
const PCR_SELECT_BYTES = 3;

/** No PCR is asked for, and every locality will do. */
export const ANY_PCR: PcrInfoShort = {
  pcrSelection: new Uint8Array(PCR_SELECT_BYTES),
  localityAtRelease: EVERY_LOCALITY,
  digestAtRelease: new Uint8Array(20),
};

/** §8.3 TPM_PCR_COMPOSITE, of which a TPM_PCR_INFO_SHORT holds the SHA-1. */
const pcrComposite = struct({ select: sized(u16), values: sized(u32) });

/**
 * Asks for PCRs that hold given values, and for one of the localities in the bit set `localities`.
 * The PCRs are given in rising order, each with its 20 bytes.
 */
export function pcrsHolding(
  held: ReadonlyMap<number, Uint8Array>,
  localities = EVERY_LOCALITY,
): PcrInfoShort {
  const select = new Uint8Array(PCR_SELECT_BYTES);
  for (const pcr of held.keys()) select[Math.floor(pcr / 8)]! |= 2 ** (pcr % 8);
  const composite = encode(pcrComposite, { select, values: concat(...held.values()) });
  const digestAtRelease = new Uint8Array(createHash('sha1').update(composite).digest());
  return { pcrSelection: select, localityAtRelease: localities, digestAtRelease };
}

/** §19.3 TPM_NV_DATA_PUBLIC, with §19.2 TPM_NV_ATTRIBUTES inside. */
// biome-ignore format: table
export const nvDataPublic = tagged(0x0018, {
  nvIndex:      u32,
  pcrInfoRead:  pcrInfoShort,
  pcrInfoWrite: pcrInfoShort,
  permission:   tagged(0x0017, { attributes: u32 }),
  readSTClear:  bool,
  writeSTClear: bool,
  writeDefine:  bool,
  dataSize:     u32,
});
/** A TPM_NV_DATA_PUBLIC, decoded. */
export type NvDataPublic = Of<typeof nvDataPublic>;

/** The public area of an NV index that has `attributes` and `dataSize` bytes, the rest as usual. */
export const nvPublic = (
  nvIndex: number,
  dataSize: number,
  attributes: number,
  pcr: { read?: PcrInfoShort; write?: PcrInfoShort } = {},
): NvDataPublic => ({
  nvIndex,
  pcrInfoRead: pcr.read ?? ANY_PCR,
  pcrInfoWrite: pcr.write ?? ANY_PCR,
  permission: { attributes },
  readSTClear: false,
  writeSTClear: false,
  writeDefine: false,
  dataSize,
});
