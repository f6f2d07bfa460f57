/**
 * Reads and writes of a qcow2 image beside `qemu-img bench` on such an image and beside plain reads
 * and writes of a raw file: the same offsets, the host's page cache for all three (cache=writeback),
 * one request at a time. Opening, the lock and closing are not counted, as `qemu-img bench` does not.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createQcow2, openImage } from '../src/block/index.js';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const DISK = 128 * MIB;
const RUNS = 5;

interface Pattern {
  readonly name: string;
  readonly writes: boolean;
  readonly bytes: number;
  /** From one request to the next, around the end of the disk. */
  readonly step: number;
  readonly count: number;
  /** Whether the clusters are there already. */
  readonly allocated: boolean;
}

// An odd number of 4 KiB pages, so that it scatters over the whole disk and hits no page twice.
const SCATTER = 4 * KIB * 7919;
const SMALL = { bytes: 4 * KIB, step: SCATTER, count: 8192 };
const LARGE = { bytes: MIB, step: MIB, count: 128 };
// biome-ignore format: table
const PATTERNS: readonly Pattern[] = [
  { name: '4 KiB scattered, read',              writes: false, allocated: true,  ...SMALL },
  { name: '4 KiB scattered, write',             writes: true,  allocated: true,  ...SMALL },
  { name: '4 KiB scattered, allocating write',  writes: true,  allocated: false, ...SMALL },
  { name: '1 MiB sequential, read',             writes: false, allocated: true,  ...LARGE },
  { name: '1 MiB sequential, write',            writes: true,  allocated: true,  ...LARGE },
  { name: '1 MiB sequential, allocating write', writes: true,  allocated: false, ...LARGE },
];

/** Microseconds for one request, over a whole run of the pattern. */
type Runner = (folder: string, pattern: Pattern) => number;

const RUNNERS: Readonly<Record<string, Runner>> = {
  'raw file': runRaw,
  nvtpm: runOurs,
  'qemu-img bench': runQemu,
};

function offsets({ step, count }: Pattern): number[] {
  return Array.from({ length: count }, (_, i) => (i * step) % DISK);
}

function time(pattern: Pattern, request: (offset: number) => void): number {
  const all = offsets(pattern);
  const start = process.hrtime.bigint();
  for (const offset of all) request(offset);
  return Number(process.hrtime.bigint() - start) / 1000 / pattern.count;
}

function runRaw(folder: string, pattern: Pattern): number {
  const path = join(folder, 'bench.raw');
  rmSync(path, { force: true });
  const fd = openSync(path, 'w+');
  ftruncateSync(fd, DISK);
  const fill = new Uint8Array(MIB).fill(1);
  if (pattern.allocated) for (let at = 0; at < DISK; at += MIB) writeSync(fd, fill, 0, MIB, at);
  const bytes = new Uint8Array(pattern.bytes).fill(2);
  const used = time(pattern, offset => {
    // A buffer for each read, as a node gives one.
    if (pattern.writes) writeSync(fd, bytes, 0, bytes.length, offset);
    else readSync(fd, new Uint8Array(pattern.bytes), 0, pattern.bytes, offset);
  });
  closeSync(fd);
  rmSync(path);
  return used;
}

function image(folder: string, { allocated }: Pattern): string {
  const path = join(folder, 'bench.qcow2');
  createQcow2(path, { size: DISK, overwrite: true, preallocation: allocated ? 'full' : 'off' });
  return path;
}

function runOurs(folder: string, pattern: Pattern): number {
  const path = image(folder, pattern);
  const node = openImage(path);
  const disk = node.lock();
  const bytes = new Uint8Array(pattern.bytes).fill(2);
  const used = time(pattern, offset => {
    if (pattern.writes) disk.write(offset, bytes);
    else disk.read(offset, pattern.bytes);
  });
  disk.release();
  node.close();
  rmSync(path);
  return used;
}

function runQemu(folder: string, pattern: Pattern): number {
  const path = image(folder, pattern);
  const { bytes, step, count, writes } = pattern;
  const how = ['-f', 'qcow2', '-t', 'writeback', '-d', '1', '-c', String(count)];
  const what = ['-s', String(bytes), '-S', String(step), ...(writes ? ['-w'] : [])];
  const { stdout } = spawnSync('qemu-img', ['bench', ...how, ...what, path], { encoding: 'utf8' });
  rmSync(path);
  const seconds = /Run completed in ([\d.]+) seconds/.exec(stdout ?? '')?.[1];
  return seconds === undefined ? Number.NaN : (Number(seconds) * 1e6) / count;
}

/** One table: each pattern, and what a request takes with each of the three, taking turns. */
export function benchBlock(folder: string): string[] {
  const names = Object.keys(RUNNERS);
  const rows = PATTERNS.map(pattern => {
    const times = names.map(() => [] as number[]);
    for (let run = 0; run <= RUNS; run += 1) {
      names.forEach((name, i) => {
        const used = RUNNERS[name]!(folder, pattern);
        if (run > 0) times[i]!.push(used);
      });
    }
    const cells = times.map(each => {
      const sorted = each.sort((a, b) => a - b);
      return { median: sorted[RUNS >> 1]!, low: sorted[0]!, high: sorted.at(-1)! };
    });
    const shown = cells.map(({ median, low, high }) =>
      Number.isNaN(median)
        ? '(not installed)'
        : `${median.toFixed(1)} (${low.toFixed(1)} to ${high.toFixed(1)})`,
    );
    const [raw, ours, qemu] = cells.map(({ median }) => median) as [number, number, number];
    const ratios = [(ours / raw).toFixed(2), (ours / qemu).toFixed(2)];
    return `| ${[pattern.name, ...shown, ...ratios].join(' | ')} |`;
  });
  const heads = ['µs a request (lowest to highest run)', ...names, 'nvtpm / raw', 'nvtpm / QEMU'];
  const line = `| --- |${' ---: |'.repeat(heads.length - 1)}`;
  return ['### Block requests', '', `| ${heads.join(' | ')} |`, line, ...rows, ''];
}
