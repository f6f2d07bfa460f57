/**
 * Every entry of every L2 table of a sound image: of the active disk and of all snapshots. Tables that
 * several L1 entries refer to are walked once.
 * @module
 */
import { type Mapping, mappingOf, offsetOf } from './entries.js';
import type { HostOffset } from './units.js';
import type { View } from './view.js';

export interface Entry {
  readonly mapping: Mapping;
  /** How many L1 entries refer to its table. */
  readonly references: number;
}

/** Entries that refer to something, or read as zeros. @throws IoError */
export function* entriesOf(view: View): Generator<Entry> {
  const { host, geometry } = view;
  for (const [table, references] of tablesOf(view)) {
    for (const [, word] of host.entries(table, geometry.clusterSize)) {
      const mapping = mappingOf(word, geometry.clusterBits);
      if (mapping.kind !== 'unallocated') yield { mapping, references };
    }
  }
}

function tablesOf({ host, header, snapshots }: View): Map<HostOffset, number> {
  const tables = new Map<HostOffset, number>();
  for (const { l1TableOffset, l1Size } of [header, ...snapshots.snapshots]) {
    for (const [, word] of host.entries(l1TableOffset, l1Size * 8)) {
      const table = offsetOf(word);
      if (table !== 0) tables.set(table, (tables.get(table) ?? 0) + 1);
    }
  }
  return tables;
}
