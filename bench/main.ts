/**
 * `npm run bench [folder [part…]]`: prints its tables as Markdown, and on stderr which part it is at.
 * The folder says which file system is measured; a temporary one by default.
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
import { benchTpm12 } from './tpm12.js';

const ROUNDS = Number(process.env['NVTPM_BENCH_ROUNDS'] ?? 1000);

type Part = (folder: string) => readonly string[] | Promise<readonly string[]>;
// biome-ignore format: table
const PARTS: Readonly<Record<string, Part>> = {
  store:      folder => benchStore(folder, ROUNDS),
  nvram:      folder => benchNvram(folder, ROUNDS),
  tpm12:      folder => benchTpm12(folder, ROUNDS),
  tis:        folder => benchTis(folder, 10 * ROUNDS),
  block:      benchBlock,
  locks:      folder => benchLocks(folder, ROUNDS),
};

const [where = tmpdir(), ...wanted] = process.argv.slice(2);
const folder = mkdtempSync(join(resolve(where), 'nvtpm-bench-'));
try {
  const { model } = cpus()[0]!;
  console.log(`Node ${process.version}, ${cpus().length} × ${model}, ${ROUNDS} rounds\n`);
  for (const name of wanted.length > 0 ? wanted : Object.keys(PARTS)) {
    const part = PARTS[name];
    if (part === undefined) throw new Error(`there is no part ${name}: ${Object.keys(PARTS)}`);
    console.error(`${name} …`);
    for (const text of await part(folder)) console.log(text);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
