/**
 * `node dist/scripts/kill-store.js [kills]`: kills a storing process that many times (1,000 by
 * default) at random moments, and fails if anything acknowledged is missing.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parameters } from '../lab/arguments.js';
import { killOften } from '../lab/store/kills.js';

const { kills } = parameters('kill-store', { kills: 1000 });
const folder = mkdtempSync(join(tmpdir(), 'nvtpm-kill-'));
try {
  const tally = await killOften(folder, kills, () => Math.random() * 20);
  console.log(tally);
  process.exitCode = tally.faults.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
