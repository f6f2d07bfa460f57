/**
 * fixtures/SHA256SUMS: a sum for each recorded file, in the format of sha256sum.
 * @module
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../files.js';

const FIXTURES = join(ROOT, 'fixtures');
const FOLDERS = ['clients', 'daa', 'qemu', 'states', 'transcripts'];

/** The lines of SHA256SUMS as the files are now. */
export function sums(): string {
  const files = FOLDERS.flatMap(folder =>
    readdirSync(join(FIXTURES, folder))
      .filter(name => name.endsWith('.json'))
      .sort()
      .map(name => `${folder}/${name}`),
  );
  const lines = files.map(file => {
    const hash = createHash('sha256').update(readFileSync(join(FIXTURES, file)));
    return `${hash.digest('hex')}  ${file}\n`;
  });
  return lines.join('');
}

export const writeSums = (): void => writeFileSync(join(FIXTURES, 'SHA256SUMS'), sums());
