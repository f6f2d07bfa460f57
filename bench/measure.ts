/**
 * Measuring side by side: the cases of one comparison take turns within one run, so that whatever
 * else the machine does meets all of them, and figures are ratios of medians.
 * @module
 */

export interface Case {
  readonly name: string;
  /** What a round needs and is no part of what is measured. */
  prepare?(round: number): void;
  /** One round. The number tells rounds apart, from 0. */
  run(round: number): void;
}

export interface Figure {
  readonly name: string;
  /** Microseconds, of one round. */
  readonly median: number;
  /** The quartiles, in microseconds: the machine's noise. */
  readonly quartiles: readonly [number, number];
}

/** How long the cases run before they are measured: code is compiled for good after some 1,000 calls. */
const WARM_UP = { rounds: 1000, milliseconds: 3000 } as const;

/** Runs the cases in turn, `rounds` times each, once they are warm. */
export function takeTurns(cases: readonly Case[], rounds: number): Figure[] {
  const times = cases.map(() => [] as number[]);
  const isWarm = warming(rounds);
  let measured = 0;
  for (let round = 0; measured < rounds; round += 1) {
    const counts = isWarm(round);
    cases.forEach((each, index) => {
      each.prepare?.(round);
      const start = process.hrtime.bigint();
      each.run(round);
      const time = Number(process.hrtime.bigint() - start) / 1000;
      if (counts) times[index]!.push(time);
    });
    if (counts) measured += 1;
  }
  return cases.map(({ name }, index) => figureOf(name, times[index]!));
}

/** Whether a round counts: after the warm-up, which is a tenth of the rounds at least. */
function warming(rounds: number): (round: number) => boolean {
  const start = performance.now();
  let isOver = false;
  return round => {
    const took = performance.now() - start;
    const isLong = round >= WARM_UP.rounds || took > WARM_UP.milliseconds;
    isOver ||= round >= rounds / 10 && isLong;
    return isOver;
  };
}

/** What times in microseconds come to. */
export function figureOf(name: string, times: readonly number[]): Figure {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.floor((sorted.length - 1) * part)]!;
  return { name, median: at(0.5), quartiles: [at(0.25), at(0.75)] };
}

/** A table of figures, each as a ratio of the first one too. */
export function table(title: string, figures: readonly Figure[]): string {
  const base = figures[0]!.median;
  const rows = figures.map(({ name, median, quartiles: [low, high] }) => {
    const spread = `${low.toFixed(1)} to ${high.toFixed(1)}`;
    const ratio = (median / base).toFixed(2);
    return `| ${name} | ${median.toFixed(1)} | ${spread} | ${ratio} |`;
  });
  const head = ['| what | median µs | quartiles µs | ratio |', '| --- | ---: | ---: | ---: |'];
  return [`### ${title}`, '', ...head, ...rows, ''].join('\n');
}

/** Gives the microseconds that a round took. */
export type Contender = () => Promise<number>;

/** Turns that warm up, and are not counted. */
const WARM_UP_TURNS = 3;

/** Has contenders take turns of `count` rounds: the same as `takeTurns` for what has to be awaited. */
export async function compete<N extends string>(
  contenders: Readonly<Record<N, Contender>>,
  turns: number,
  count: number,
): Promise<Record<N, Figure>> {
  const names = Object.keys(contenders) as N[];
  const times = new Map(names.map(name => [name, [] as number[]]));
  for (let turn = 0; turn < WARM_UP_TURNS + turns; turn += 1) {
    for (const name of names) {
      for (let i = 0; i < count; i += 1) {
        const us = await contenders[name]();
        if (turn >= WARM_UP_TURNS) times.get(name)!.push(us);
      }
    }
  }
  const figures = names.map(name => [name, figureOf(name, times.get(name)!)]);
  return Object.fromEntries(figures) as Record<N, Figure>;
}

/** The microseconds that something takes, at once or later. */
export async function timed(act: () => unknown): Promise<number> {
  const start = performance.now();
  const done = act();
  if (done instanceof Promise) await done;
  return (performance.now() - start) * 1000;
}

const digits = (us: number): string => us.toFixed(us < 100 ? 1 : 0);
/** A median in microseconds, with the quartiles. */
export const shown = ({ median, quartiles: [low, high] }: Figure): string =>
  `${digits(median)} (${digits(low)} to ${digits(high)})`;
/** How often `a` fits into the time of `b`: a rate, as a multiple of another. */
export const rate = (a: Figure, b: Figure): string => (b.median / a.median).toFixed(2);

/** A table of cells. */
export function markdown(
  title: string,
  heads: readonly string[],
  rows: readonly string[][],
): string {
  const line = `| --- |${' ---: |'.repeat(heads.length - 1)}`;
  const cells = [heads, ...rows].map(row => `| ${row.join(' | ')} |`);
  return [`### ${title}`, '', cells[0], line, ...cells.slice(1), ''].join('\n');
}
