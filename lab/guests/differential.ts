/** Random guests before swtpm and before the engine. @module */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ordinalName, resultName } from '../../src/guest/index.js';
import { COMMANDS } from '../../src/tpm/tpm12/commands/index.js';
import { Swtpm, writePermall } from '../peers/swtpm.js';
import { DEPARTURES } from '../reference/departures.js';
import { type Met, Mirror } from '../reference/mirror.js';
import { owned } from '../reference/states.js';
import { guestOf } from './families.js';

/** How often each ordinal must be met, with well-formed requests and with others. */
const MET_MIN = 50;
/** One guest in so many starts with a TPM that has an owner; that of the others was never used. */
const OWNED_EVERY = 3;

export interface Campaign {
  readonly guests: number;
  /** Steps a guest. */
  readonly steps: number;
  /** The first seed. */
  readonly first: number;
}

/** How often something was met, over all guests. */
export class Met12 {
  readonly ordinals = new Map<number, Met>();
  readonly departures = new Map<string, number>();
  differences = 0;

  add({ met, departures, differences }: Mirror): void {
    for (const [ordinal, counts] of met) {
      this.ordinals.set(ordinal, sum(this.ordinals.get(ordinal), counts));
    }
    for (const [name, count] of departures) {
      this.departures.set(name, (this.departures.get(name) ?? 0) + count);
    }
    this.differences += differences.length;
  }

  /** A row for each command of the engine, and for each other ordinal that was met. */
  get rows(): (Met & { readonly ordinal: number })[] {
    return [...new Set([...DUE, ...this.ordinals.keys()])]
      .sort((a, b) => a - b)
      .map(ordinal => ({ ordinal, ...(this.ordinals.get(ordinal) ?? NEVER) }));
  }

  /** The commands that were met too rarely, by name. */
  get tooRare(): string[] {
    return this.rows
      .filter(({ ordinal }) => DUE.has(ordinal))
      .filter(({ wellFormed, malformed }) => Math.min(wellFormed, malformed) < MET_MIN)
      .map(({ ordinal }) => ordinalName(ordinal));
  }

  /** Tables of what was met. */
  get tables(): string[] {
    const rows = this.rows.map(({ ordinal, wellFormed, succeeded, malformed, results }) => {
      const names = [...results].sort((a, b) => a - b).map(one => resultName(one).slice(4));
      return [ordinalName(ordinal), wellFormed, succeeded, malformed, names.join(' ')];
    });
    const departures = DEPARTURES.filter(({ holds }) => holds !== undefined).map(({ on, why }) => [
      on,
      this.departures.get(on) ?? 0,
      why,
    ]);
    return [
      '| ordinal | well-formed | succeeded | malformed | result codes |',
      '| --- | --- | --- | --- | --- |',
      ...rows.map(cells => `| ${cells.join(' | ')} |`),
      '',
      '| departure | met | why |',
      '| --- | --- | --- |',
      ...departures.map(cells => `| ${cells.join(' | ')} |`),
    ];
  }

  /** The figures. */
  get totals() {
    return {
      commands: this.rows.reduce((all, row) => all + row.wellFormed + row.malformed, 0),
      ordinals: this.ordinals.size,
      differences: this.differences,
      departures: [...this.departures.values()].reduce((all, count) => all + count, 0),
      tooRare: this.tooRare,
    };
  }
}

const NEVER: Met = { wellFormed: 0, malformed: 0, succeeded: 0, results: new Set() };
const DUE: ReadonlySet<number> = new Set(COMMANDS.all.map(({ ordinal }) => ordinal));

/**
 * Lets guests live, until one finds a difference.
 * @param tell gets a line for each guest, and the difference
 */
export function compareGuests(
  { guests, steps, first }: Campaign,
  tell: (line: string) => void,
): Met12 {
  const met = new Met12();
  for (let seed = first; seed < first + guests && met.differences === 0; seed += 1) {
    const mirror = live(seed, steps);
    met.add(mirror);
    const counts = [...mirror.met.values()];
    const sent = counts.reduce((all, one) => all + one.wellFormed + one.malformed, 0);
    tell(`seed ${seed}: ${sent} commands, ${mirror.met.size} ordinals`);
    for (const difference of mirror.differences.slice(0, 1)) {
      tell(`seed ${seed}: ${JSON.stringify(difference, null, 2)}`);
    }
  }
  return met;
}

/** One guest's life, until the two TPMs differ: from there on their states do. */
function live(seed: number, steps: number): Mirror {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-diff-'));
  if (seed % OWNED_EVERY === 0) writePermall(folder, owned());
  const tpm = new Swtpm(folder);
  try {
    const mirror = new Mirror(tpm);
    const guest = guestOf(mirror, seed);
    for (let step = 0; step < steps && mirror.differences.length === 0; step += 1) guest.step();
    if (mirror.differences.length === 0) mirror.compareStates();
    return mirror;
  } finally {
    tpm.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function sum(one: Met | undefined, other: Met): Met {
  if (one === undefined) return other;
  return {
    wellFormed: one.wellFormed + other.wellFormed,
    malformed: one.malformed + other.malformed,
    succeeded: one.succeeded + other.succeeded,
    results: new Set([...one.results, ...other.results]),
  };
}
