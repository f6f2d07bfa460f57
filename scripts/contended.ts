/**
 * One contended image among many machines of one process, as JSON:
 * node dist/scripts/contended.js [MACHINES] [SECONDS]
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parameters } from '../lab/arguments.js';
import { contended } from '../lab/contended.js';

const { machines, seconds } = parameters('contended', { machines: 300, seconds: 10 });
const folder = mkdtempSync(join(tmpdir(), 'nvtpm-contended-'));
try {
  const found = await contended({ folder, machines, lockedMs: 1000 * seconds });
  console.log(JSON.stringify(found));
} finally {
  rmSync(folder, { recursive: true });
}
