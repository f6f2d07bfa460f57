/**
 * An authorisation session, as libtpms keeps it in `savestate`.
 * @module
 */
import { type Of, struct, u8, u16, u32 } from '../../../wire/codec.js';
import { digest, nonce, secret } from '../structures/basic.js';
import { delegatePublic } from '../structures/delegate-public.js';

/** An authorisation session, as libtpms keeps it. */
// biome-ignore format: table
export const authSession = struct({
  handle:        u32,
  protocol:      u16,
  entityType:    u8,
  adipEncScheme: u8,
  nonceEven:     nonce,
  sharedSecret:  secret,
  entityDigest:  digest,
  delegation:    delegatePublic,
});

export type AuthSession = Of<typeof authSession>;
