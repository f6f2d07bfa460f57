/**
 * Older states of a store. An entry says from which generation to which its bytes were current, so
 * the state of any kept generation can be read off the entries: those that were current then.
 * @module
 */
import type { Entry } from './layout.js';

export const isCurrent = (entry: Entry): boolean => entry.until === 0;

/** The kept states, newest first: each by the last generation that had it. */
export function keptGenerations(entries: readonly Entry[]): number[] {
  const ends = new Set(entries.filter(entry => !isCurrent(entry)).map(entry => entry.until));
  return [...ends].sort((a, b) => b - a);
}

/** The entries that were current in `generation`, or undefined where that state is not kept. */
export function stateOf(entries: readonly Entry[], generation: number): Entry[] | undefined {
  if (!keptGenerations(entries).includes(generation)) return undefined;
  return entries.filter(
    entry => entry.generation <= generation && (isCurrent(entry) || generation <= entry.until),
  );
}

/** `entries` with the newest `keep` older states, and no more. */
export function pruned(entries: readonly Entry[], keep: number): Entry[] {
  const oldest = keptGenerations(entries)[keep - 1] ?? 0;
  const limit = keep === 0 ? Number.POSITIVE_INFINITY : oldest;
  return entries.filter(entry => isCurrent(entry) || entry.until >= limit);
}
