/** Bytes that went wrong: one changed, some cut off, one too many. */
import { ORDINALS } from '../../src/guest/index.js';
import { concat } from '../../src/wire/codec.js';
import type { Draws } from './draws.js';

const HEADER_BYTES = 10;
const ORDINAL_AT = 6;
const CUT_MAX = 8;

/** The same bytes with a bit of one changed, or a few cut off, or one too many. */
export function bendBytes(draws: Draws, bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0 || draws.chance(8)) return concat(bytes, new Uint8Array(1));
  if (draws.chance(4)) return bytes.slice(0, Math.max(bytes.length - 1 - draws.below(CUT_MAX), 0));
  const bent = concat(bytes);
  bent[draws.below(bent.length)]! ^= 2 ** draws.below(8);
  return bent;
}

/**
 * Bytes of parameters that are left as they are: the length of an SRK, for as many bits as libtpms
 * would compute for as long as it takes; the modulus of a key to migrate to, because what is
 * encrypted to an unknown key cannot be compared; and the number of a row of delegations, of
 * which libtpms follows a stray pointer where there is no such row.
 */
// biome-ignore format: table
const LEFT: ReadonlyMap<number, readonly [from: number, to: number]> = new Map([
  [ORDINALS.TakeOwnership,         [545, 549]],
  [ORDINALS.MigrateKey,            [28, 284]],
  [ORDINALS.AuthorizeMigrationKey, [30, 286]],
  [ORDINALS.Delegate_UpdateVerification, [4, 8]],
]);

/** The same for the parameters of a command. */
export function bendParams(draws: Draws, ordinal: number, params: Uint8Array): Uint8Array {
  const bent = bendBytes(draws, params);
  const [from, to] = LEFT.get(ordinal) ?? [0, 0];
  if (bent.length >= to) bent.set(params.subarray(from, to), from);
  return bent;
}

/** The same for a request. Its size is honest, and its ordinal is what it was. */
export function bendRequest(draws: Draws, request: Uint8Array): Uint8Array {
  const head = request.slice(0, HEADER_BYTES);
  const ordinal = new DataView(head.buffer).getUint32(ORDINAL_AT);
  if (draws.chance(10)) head[1]! ^= 1 + draws.below(3);
  const whole = concat(head, bendParams(draws, ordinal, request.slice(HEADER_BYTES)));
  const said = draws.chance(16) ? whole.length + 1 : whole.length;
  new DataView(whole.buffer).setUint32(2, said);
  return whole;
}
