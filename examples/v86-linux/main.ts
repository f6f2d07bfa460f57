/**
 * A stock Linux kernel meets our TPM, twice: in the first boot the TPM gets its Endorsement Key and an
 * owner through /dev/tpm0; the emulator is thrown away; in the second boot, a cold restart, both are
 * there. Usage: main.js [--json] [IMAGE]
 * @module
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createQcow2 } from 'nvtpm/block';
import type { Boot } from './boot.js';
import { missingPieces } from './pieces.js';

const IMAGE_BYTES = 64 * 1024 * 1024;
const PROGRAM = fileURLToPath(new URL('boot.js', import.meta.url));

async function run(name: 'first' | 'second', image: string): Promise<Boot> {
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, name, image]);
  return JSON.parse(stdout) as Boot;
}

function tell(title: string, { seconds, kernel, steps, complaints, accesses }: Boot): void {
  console.log(`${title}: Linux ${kernel}, ${seconds} s, ${accesses} register accesses`);
  for (const { step, sysfs } of steps) {
    const { owned, enabled, active, pubek } = sysfs;
    const key = pubek === undefined ? '' : `, pubek ${pubek.slice(0, 16)}…`;
    console.log(`  ${step}: owned ${owned}, enabled ${enabled}, active ${active}${key}`);
  }
  for (const line of complaints) console.log(`  the kernel complains: ${line}`);
}

const missing = missingPieces();
if (missing.length > 0) {
  console.error(`missing: ${missing.join(', ')}; examples/v86-linux/fetch.sh fetches them`);
  process.exit(1);
}
const words = process.argv.slice(2);
const json = words.includes('--json');
const named = words.find(word => word !== '--json');
const folder = named === undefined ? mkdtempSync(join(tmpdir(), 'nvtpm-v86-')) : undefined;
const image = named ?? join(folder!, 'tpm.qcow2');
try {
  createQcow2(image, { size: IMAGE_BYTES });
  const first = await run('first', image);
  if (!json) tell('first boot', first);
  const second = await run('second', image);
  if (!json) tell('second boot', second);
  const holds = first.modulus === second.modulus && second.steps[0]?.sysfs.owned === '1';
  if (json) console.log(JSON.stringify({ holds, first, second }, null, 2));
  else console.log(holds ? 'the same EK, the same owner' : 'the TPM has forgotten something');
  process.exitCode = holds ? 0 : 1;
} finally {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}
