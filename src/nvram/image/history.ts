/**
 * Older states of a store. An entry says from which generation to which its bytes were current, so
 * the state of any kept generation can be read off the entries: those that were current then.
 * @module
 */
import type { Directory, Entry } from './layout.js';

/** The blobs that were current together: those of now, or of a kept generation. */
export interface StoredState {
  readonly generation: number;
  readonly entries: readonly Entry[];
}

/** Whether an entry belongs to the current state, not to a kept one. */
export const isCurrent = (entry: Pick<Entry, 'lastGeneration'>): boolean =>
  entry.lastGeneration === 0;

/** The kept states, newest first: each by the last generation that had it. */
export function keptGenerations(entries: readonly Entry[]): number[] {
  const ends = new Set(
    entries.filter(entry => !isCurrent(entry)).map(entry => entry.lastGeneration),
  );
  return [...ends].sort((a, b) => b - a);
}

/** The entries that were current in `generation`, or undefined where that state is not kept. */
export function stateOf(entries: readonly Entry[], generation: number): Entry[] | undefined {
  if (!keptGenerations(entries).includes(generation)) return undefined;
  return entries.filter(
    entry =>
      entry.generation <= generation && (isCurrent(entry) || generation <= entry.lastGeneration),
  );
}

/** The states that a store holds, newest first: the current one, then the kept ones. */
export const statesOf = ({ generation, entries }: Directory): StoredState[] => [
  { generation, entries: entries.filter(isCurrent) },
  ...keptGenerations(entries).map(kept => ({
    generation: kept,
    entries: stateOf(entries, kept) ?? [],
  })),
];

/** `entries` with the newest `historyLength` older states only. */
export function pruned(entries: readonly Entry[], historyLength: number): Entry[] {
  const oldest = keptGenerations(entries)[historyLength - 1] ?? 0;
  const limit = historyLength === 0 ? Number.POSITIVE_INFINITY : oldest;
  return entries.filter(entry => isCurrent(entry) || entry.lastGeneration >= limit);
}
