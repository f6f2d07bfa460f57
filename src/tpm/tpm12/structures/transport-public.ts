/**
 * Transport structures (TPM Main Part 2, §13).
 * @module
 */
import { type Of, u16, u32 } from '../../../wire/codec.js';
import { digest, nonce, secret } from './basic.js';
import { structure } from './codecs.js';
import { currentTicks } from './current-ticks.js';

// biome-ignore format: table
export const transportPublic = structure(0x001e, {
  transAttributes: u32,
  algId:           u32,
  encScheme:       u16,
});

export type TransportPublic = Of<typeof transportPublic>;

export const Attribute = { ENCRYPT: 1, LOG: 2, EXCLUSIVE: 4 } as const;

/** A transport session, as libtpms keeps it. */
// biome-ignore format: table
export const transportInternal = structure(0x000f, {
  authData:       secret,
  transPublic:    transportPublic,
  transHandle:    u32,
  transNonceEven: nonce,
  transDigest:    digest,
});

export type TransportSession = Of<typeof transportInternal>;

export const logIn = structure(0x0010, { parameters: digest, pubKeyHash: digest });

export const logOut = structure(0x0011, { currentTicks, parameters: digest, locality: u32 });

export const transportAuth = structure(0x001d, { authData: secret });
