/** Kills a process that stores, at random moments, and looks what is there. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createQcow2, openImage, withLock } from '../../src/block/index.js';
import { ROOT } from '../files.js';
import { format, inspected } from './stores.js';

export interface Tally {
  kills: number;
  acknowledged: number;
  /** Stores that were complete although their answer was not given any more. */
  ahead: number;
  readonly faults: string[];
}

/** Kills the writer `kills` times, each time after `delays()` milliseconds of storing. */
export async function killOften(
  folder: string,
  kills: number,
  delays: () => number,
): Promise<Tally> {
  const path = join(folder, 'tpm.qcow2');
  createQcow2(path, { size: 16 * 1024 * 1024 });
  {
    using image = openImage(path, { readOnly: false });
    format(image);
  }
  const tally: Tally = { kills: 0, acknowledged: 0, ahead: 0, faults: [] };
  for (; tally.kills < kills; tally.kills += 1) {
    const last = await storeUntilKilled(path, delays());
    const found = stored(path);
    if (typeof found === 'string') tally.faults.push(found);
    else if (found < last) tally.faults.push(`acknowledged ${last}, found ${found}`);
    else if (found > last + 1) tally.faults.push(`acknowledged ${last}, found ${found}`);
    else if (found > last) tally.ahead += 1;
    tally.acknowledged = Math.max(tally.acknowledged, last);
  }
  return tally;
}

/** The last number that the writer printed before it was killed. */
async function storeUntilKilled(path: string, delay: number): Promise<number> {
  const writer = join(ROOT, 'dist', 'lab', 'store', 'kill-writer.js');
  const child = spawn(process.execPath, [writer, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  const gone = once(child, 'close');
  child.stdout!.on('data', (part: Buffer) => {
    if (text === '') setTimeout(() => child.kill('SIGKILL'), delay);
    text += part.toString('latin1');
  });
  await gone;
  const lines = text.split('\n');
  return Number(lines.at(-2) ?? Number.NaN);
}

/** The number that is stored, or what is wrong. */
function stored(path: string): number | string {
  using image = openImage(path, { readOnly: true });
  const { verdict, state, findings } = inspected(image);
  const entry = state?.directory.entries[0];
  if (entry === undefined) return `${verdict}: ${findings.join('; ')}`;
  const blob = withLock(image, undefined, disk => disk.read(entry.offset, entry.length));
  const count = new DataView(blob.buffer).getUint32(0);
  return blob.subarray(4).every(byte => byte === count % 256) ? count : `a mixture in ${count}`;
}
