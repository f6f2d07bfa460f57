/**
 * Bits of 32-bit maps, without the traps of signed shifts.
 * @module
 */

/** Whether bit `bit` (0 to 31) of `map` is set. */
export const hasBit = (map: number, bit: number): boolean => ((map >>> bit) & 1) === 1;

/** Whether a flag of `map` is set; the flag is a number with one bit. */
export const hasMask = (map: number, flag: number): boolean => (map & flag) !== 0;
