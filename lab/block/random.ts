/** Numbers that look random and are the same for the same seed, on every machine. */

/** A whole number from 0 to below `limit`. */
export type Random = (limit: number) => number;

/** A linear congruential generator over 2^48 (the constants of drand48(3)), in two halves. */
export function random(seed: number): Random {
  let state = (BigInt(seed) << 16n) | 0x330en;
  return limit => {
    state = (state * 0x5deece66dn + 0xbn) & 0xffff_ffff_ffffn;
    return Number(state >> 16n) % limit;
  };
}
