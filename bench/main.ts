/**
 * `npm run bench [folder]`: prints its tables as Markdown. The folder says which file system is
 * measured; a temporary one by default.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { benchBlock } from './block.js';
import { benchLocks } from './locks.js';
import { benchNvram } from './nvram.js';
import { benchStore } from './store.js';
import { benchTis } from './tis.js';

const ROUNDS = Number(process.env['NVTPM_BENCH_ROUNDS'] ?? 1000);
const folder = mkdtempSync(join(resolve(process.argv[2] ?? tmpdir()), 'nvtpm-bench-'));
try {
  const { model } = cpus()[0]!;
  console.log(`Node ${process.version}, ${cpus().length} × ${model}, ${ROUNDS} rounds\n`);
  for (const text of [
    ...benchStore(folder, ROUNDS),
    ...benchNvram(folder, ROUNDS),
    ...(await benchTis(folder, 10 * ROUNDS)),
    ...benchBlock(folder),
    ...benchLocks(folder, ROUNDS),
  ]) {
    console.log(text);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
