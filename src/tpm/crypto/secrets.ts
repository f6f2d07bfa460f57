/**
 * Secrets: comparing, masking and overwriting them.
 * @module
 */
import { timingSafeEqual } from 'node:crypto';

/**
 * Whether two secrets of one length are the same, in a time that does not tell where they differ.
 */
export const sameSecret = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && timingSafeEqual(a, b);

/** Overwrites secrets whose object goes. Best effort: the runtime may have copied them before. */
export function wipe(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0);
}

/** Two runs of bytes of one length, added bit by bit. */
export function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  const sum = a.slice();
  for (let at = 0; at < sum.length; at += 1) sum[at]! ^= b[at]!;
  return sum;
}
