/**
 * Structures of transport sessions (TPM Main Part 2, §13).
 * @module
 */
import { type Of, u16, u32 } from '../../../wire/codec.js';
import { digest, nonce, secret, structure } from './basic.js';

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
