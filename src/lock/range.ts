/**
 * Arithmetic of byte ranges, where a length of 0 reaches to the end of all offsets.
 * @module
 */
import type { LockRange } from './lock.js';

const endOf = ({ start, length }: LockRange): number => (length === 0 ? Infinity : start + length);

const between = (start: number, end: number): LockRange => ({
  start,
  length: end === Infinity ? 0 : end - start,
});

export const overlap = (a: LockRange, b: LockRange): boolean =>
  a.start < endOf(b) && b.start < endOf(a);

export const sameRange = (a: LockRange, b: LockRange): boolean =>
  a.start === b.start && a.length === b.length;

/** What is left of `range` without the bytes of `others`. */
export function subtract(range: LockRange, others: readonly LockRange[]): LockRange[] {
  let left = [range];
  for (const other of others) {
    left = left.flatMap(piece => {
      if (!overlap(piece, other)) return [piece];
      const before = piece.start < other.start ? [between(piece.start, other.start)] : [];
      const after = endOf(other) < endOf(piece) ? [between(endOf(other), endOf(piece))] : [];
      return [...before, ...after];
    });
  }
  return left;
}
