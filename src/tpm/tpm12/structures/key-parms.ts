/**
 * The parameters of a key, and its public part (TPM Main Part 2, §10.1 and §10.5).
 * @module
 */
import {
  type Codec,
  encode,
  equal,
  type Of,
  Reader,
  struct,
  u16,
  u32,
} from '../../../wire/codec.js';
import { demand } from '../results.js';
import { embedded, sizedBuffer } from './codecs.js';

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
