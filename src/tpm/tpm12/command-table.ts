/**
 * The table of an engine's commands, checked when it loads: a record that forgets something, or
 * that contradicts another one, does not get in.
 * @module
 */
import assert from 'node:assert/strict';
import type { Command } from './command.js';
import type { Commands } from './environment.js';
import { Tag } from './structures/types.js';

const AUDIT_MAP_BYTES = 32;

export class CommandTable implements Commands {
  readonly #byOrdinal: ReadonlyMap<number, Command>;

  /** @throws AssertionError where records contradict each other */
  constructor(records: Iterable<Command>) {
    const sorted = [...records].toSorted((a, b) => a.ordinal - b.ordinal);
    this.#byOrdinal = new Map(sorted.map(record => [record.ordinal, record]));
    unique('ordinal', sorted, ({ ordinal }) => ordinal);
    unique('name', sorted, ({ name }) => name);
    unique('delegable.owner', sorted, ({ delegable }) => delegable?.owner);
    unique('delegable.key', sorted, ({ delegable }) => delegable?.key);
    for (const record of sorted) checkRecord(record);
  }

  get(ordinal: number): Command | undefined {
    return this.#byOrdinal.get(ordinal);
  }

  /** In the order of the ordinals. */
  get all(): Command[] {
    return [...this.#byOrdinal.values()];
  }

  /** A bit an ordinal, ordinal 0 in the lowest bit of byte 0 (Part 3, §8). */
  auditedFromStart(): Uint8Array {
    const map = new Uint8Array(AUDIT_MAP_BYTES);
    for (const { ordinal, audited } of this.all) {
      if (audited === 'from the start')
        map[ordinal >>> 3] = (map[ordinal >>> 3] ?? 0) | (1 << (ordinal & 7));
    }
    return map;
  }
}

function unique<T>(column: string, records: readonly Command[], of: (record: Command) => T): void {
  const seen = new Map<T, string>();
  for (const record of records) {
    const value = of(record);
    if (value === undefined) continue;
    const other = seen.get(value);
    assert(other === undefined, `${record.name} and ${other} have the same ${column}: ${value}`);
    seen.set(value, record.name);
  }
}

const isBit = (value: number, bits: number): boolean =>
  Number.isInteger(value) && value >= 0 && value < bits;

/** §20.2: all bits of the owner's map mean something, and 29 of a key's. */
const OWNER_BITS = 32;
const KEY_BITS = 29;

function checkRecord(record: Command): void {
  const { name, ordinal, auth, delegable = {}, audited, wrapped, handleBytes, tags } = record;
  const { owner = 0, key = 0 } = delegable;
  assert(isBit(owner, OWNER_BITS), `${name}: no owner delegation has bit ${owner}`);
  assert(isBit(key, KEY_BITS), `${name}: no key delegation has bit ${key}`);
  const delegated = delegable.owner !== undefined || delegable.key !== undefined;
  assert(!(delegated && auth === 'none'), `${name} is delegable and has no authorisation`);
  assert(Math.max(...tags) <= Tag.AUTH2, `${name} has more authorisations than two`);
  const inMap = ordinal < 8 * AUDIT_MAP_BYTES;
  assert(audited !== 'from the start' || inMap, `${name} has no bit in the audit map`);
  const { handleBytes: counted, keys } = wrapped;
  assert(counted.input <= handleBytes.input, `${name}: more bytes are handles where it is wrapped`);
  assert(keys === 'typed' || keys <= 2, `${name} has ${keys} key handles`);
}
