/** How an Endorsement Key is named for people. @module */
import { createHash } from 'node:crypto';

/** SHA-256 of the modulus, its first 16 bytes, as 12:34:… */
export const fingerprint = (modulus: Uint8Array): string =>
  createHash('sha256')
    .update(modulus)
    .digest('hex')
    .slice(0, 32)
    .replace(/..(?=.)/g, '$&:');
