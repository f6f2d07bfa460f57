/**
 * A process that writes to a qcow2 image while its files may not grow, so that a write ends early and
 * makes the file longer, and goes on: `PATH`.
 */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { openImage, withLock } from '../../src/block/index.js';

const path = process.argv[2]!;
const limit = (bytes: string): void =>
  void execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:unlimited`]);
const node = openImage(path);
withLock(node, {}, disk => {
  disk.read(0, 1);
  limit(String(statSync(path).size + 8192));
  try {
    disk.write(10 * 65_536, new Uint8Array(65_536).fill(0x5a));
    console.log('written');
  } catch (error) {
    console.log((error as { errno?: string }).errno);
  }
  limit('unlimited');
  disk.write(12 * 65_536, new Uint8Array(512).fill(0x11));
});
node.close();
