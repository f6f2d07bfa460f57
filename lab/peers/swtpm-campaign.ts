/** All cells of state that travels between images and the real swtpm. @module */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nvtpm } from '../program/cli.js';
import { swtpmKeys } from './swtpm-keys.js';
import { type Cell, cellName, fromSetup, type Nvtpm, PLAIN, thereAndBack } from './swtpm-travel.js';

export interface TravelReport {
  readonly cells: number;
  /** Cells of state that swtpm_setup made with this key itself. */
  readonly fromSetup: number;
  readonly different: readonly string[];
}

const run: Nvtpm = async args => {
  const { exit, out, err } = nvtpm(args);
  if (exit !== 0) throw new Error(`nvtpm ${args.join(' ')}: ${out}${err}`);
};

/** Runs every cell of {directory, linear} × {keys} × {1.2, 2.0}. */
export async function travelSwtpm(say: (line: string) => void): Promise<TravelReport> {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-travel-'));
  const report = { cells: 0, fromSetup: 0, different: [] as string[] };
  try {
    for (const version of ['1.2', '2.0'] as const) {
      const plain = await fromSetup(run, folder, { backend: 'dir', key: PLAIN, version });
      for (const backend of ['dir', 'file'] as const) {
        for (const key of swtpmKeys(folder)) {
          const cell: Cell = { backend, key, version };
          const isMade = key.setup !== undefined;
          const start = isMade ? await fromSetup(run, folder, cell) : plain;
          const { ek, again, isWritten } = await thereAndBack(run, folder, start.image, cell);
          const isSame = ek === start.ek && again === start.ek && isWritten;
          report.cells += 1;
          if (isMade) report.fromSetup += 1;
          if (!isSame) report.different.push(cellName(cell));
          say(`${cellName(cell)}: ${isSame ? 'the same' : 'DIFFERENT'}`);
        }
      }
    }
    return report;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
