/**
 * Damages the qcow2 metadata of images with an owned TPM in every way that one bit or one cut can, and
 * counts what the next power on makes of it. The rule: the same TPM in its newest state, or a refusal
 * that leaves the file as it was.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Qcow2Map } from '../qcow2-map.js';
import { type Change, DamagedCopy } from './copy.js';
import { isLoss, Judge, type Outcome } from './judge.js';
import { makeShapes, type Shape } from './shapes.js';

export interface CampaignOptions {
  /** As qemu-img spells it. */
  readonly clusterSize: string;
  /** Every bit of every table, and not only entries in use and first sectors. */
  readonly whole: boolean;
  /** Takes every nth flip and cut. */
  readonly stride: number;
}

export interface Report {
  readonly clusterSize: string;
  readonly whole: boolean;
  readonly stride: number;
  /** For each shape and structure: how many damages had which outcome. */
  readonly outcomes: Readonly<Record<string, Record<string, Record<Outcome, number>>>>;
  /** Damages in all. */
  readonly damages: number;
  /** Those that a cold start made a new, an older or another TPM of, or threw at. */
  readonly losses: number;
  /** Refusals that changed the file: its corrupt bit alone, or more. */
  readonly touched: Readonly<Record<Exclude<Change, 'none'>, number>>;
  /** Runs of `nvtpm exec`, and of the TPM 1.2 engine, on a sample; how many differed from the judge. */
  readonly samples: { readonly exec: number; readonly engine: number; readonly differ: number };
  readonly seconds: number;
}

const SECTOR_BYTES = 512;
/** Every nth damage after which the TPM is the same is looked at by its engine, too. */
const ENGINE_EVERY = 50;

export const failed = ({ losses, touched, samples }: Report): boolean =>
  losses > 0 || touched['corrupt bit'] > 0 || touched.more > 0 || samples.differ > 0;

/** Runs the campaign; `tell` hears of the first damages of each kind that are losses. */
export function damageImages(options: CampaignOptions, tell: (line: string) => void): Report {
  const started = performance.now();
  const folder = mkdtempSync(join('/dev/shm', 'nvtpm-damage-'));
  const tally = new Tally(tell);
  try {
    for (const shape of makeShapes(folder, options.clusterSize)) damage(shape, options, tally);
  } finally {
    rmSync(folder, { recursive: true });
  }
  const seconds = Math.round((performance.now() - started) / 1000);
  return { ...options, ...tally.totals, seconds };
}

/** All damages of one shape. */
function damage(shape: Shape, { whole, stride }: CampaignOptions, tally: Tally): void {
  using opened = new DamagedCopy(shape.image);
  using harmed = shape.harmed === shape.image ? undefined : new DamagedCopy(shape.harmed);
  const target = harmed ?? opened;
  const judge = new Judge(shape);
  const restore = (): void => {
    opened.restore();
    harmed?.restore();
  };
  const change = (): Change =>
    opened.change === 'none' ? (harmed?.change ?? 'none') : opened.change;
  restore();

  const one = (what: string, where: string, harm: () => void): void => {
    harm();
    const outcome = judge.start();
    const started = ['same', 'EMPTY', 'OLDER', 'ANOTHER'].includes(outcome);
    const changed = started ? 'none' : change();
    const seen = tally.count(shape.name, what, outcome, where, changed);
    if (outcome === 'same' && seen % ENGINE_EVERY === 1) {
      restore();
      harm();
      tally.engine(judge.isSameTpm());
    }
    if (seen === 1 && !isLoss(outcome)) {
      restore();
      harm();
      const ran = judge.execRuns();
      tally.exec(ran === (outcome === 'same') && (ran || change() === 'none'));
    }
    restore();
  };

  let turn = 0;
  for (const { what, offset, length } of new Qcow2Map(target.sound).structures(whole)) {
    const bits = Math.min(length, target.sound.length - offset) * 8;
    for (let at = 0; at < bits; at += 1, turn += 1) {
      if (turn % stride !== 0) continue;
      const [byte, bit] = [offset + Math.floor(at / 8), at % 8];
      one(what, `byte ${byte} bit ${bit}`, () => target.flip(byte, bit));
    }
  }
  for (let length = 0; length < target.sound.length; length += SECTOR_BYTES * stride) {
    one('end of the file', `${length} bytes`, () => target.truncate(length));
  }
}

class Tally {
  readonly #outcomes: Record<string, Record<string, Record<Outcome, number>>> = {};
  readonly #tell: (line: string) => void;
  readonly #touched = { 'corrupt bit': 0, more: 0 };
  readonly #samples = { exec: 0, engine: 0, differ: 0 };
  #damages = 0;
  #losses = 0;

  constructor(tell: (line: string) => void) {
    this.#tell = tell;
  }

  get totals(): Omit<Report, keyof CampaignOptions | 'seconds'> {
    return {
      outcomes: this.#outcomes,
      damages: this.#damages,
      losses: this.#losses,
      touched: this.#touched,
      samples: this.#samples,
    };
  }

  /** Counts a damage and gives how many of this kind had this outcome. */
  count(shape: string, what: string, outcome: Outcome, where: string, changed: Change): number {
    const ofShape = (this.#outcomes[shape] ??= {});
    const counts = (ofShape[what] ??= {});
    const seen = (counts[outcome] = (counts[outcome] ?? 0) + 1);
    this.#damages += 1;
    if (isLoss(outcome)) this.#losses += 1;
    const touched = changed === 'none' ? 0 : (this.#touched[changed] += 1);
    if ((isLoss(outcome) && seen <= 3) || (touched > 0 && touched <= 10)) {
      this.#tell(`${shape}, ${what}, ${where}: ${outcome}, changed in the file: ${changed}`);
    }
    return seen;
  }

  engine(same: boolean): void {
    this.#samples.engine += 1;
    if (!same) this.#samples.differ += 1;
  }

  exec(asJudged: boolean): void {
    this.#samples.exec += 1;
    if (!asJudged) this.#samples.differ += 1;
  }
}
