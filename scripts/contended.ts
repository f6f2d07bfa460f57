/**
 * One contended image among many machines of one process, as JSON:
 * node dist/scripts/contended.js [MACHINES] [SECONDS]
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contended } from '../lab/contended.js';

const [machines = '300', seconds = '10'] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'nvtpm-contended-'));
try {
  const lockedMs = 1000 * Number(seconds);
  const found = await contended({ folder, machines: Number(machines), lockedMs });
  console.log(JSON.stringify(found));
} finally {
  rmSync(folder, { recursive: true });
}
