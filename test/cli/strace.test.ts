/** The system calls of one NV write, as the kernel saw them. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, scratch } from '../../lab/files.js';
import { createQcow2 } from '../../src/block/index.js';
import { peerTest } from '../_peers.js';

/** The calls between the two words of the writer, in short: what was done, not to which bytes. */
function callsOfOneWrite(log: string): string[] {
  const lines = log.split('\n');
  const begin = lines.findIndex(line => line.includes('NV write begins'));
  const end = lines.findIndex(line => line.includes('NV write ends'));
  return lines.slice(begin + 1, end).flatMap(line => {
    const lock = /F_OFD_SETLKW?, \{l_type=(F_\w+), l_whence=SEEK_SET, l_start=(\d+), l_len=0/.exec(
      line,
    );
    if (lock !== null) return [lock[1]!];
    return /\b(pwrite64|fdatasync)\(/.exec(line)?.[1] ?? [];
  });
}

peerTest('one NV write: lock, writes, one fdatasync, mark, unlock', ['strace'], t => {
  const folder = scratch(t);
  const image = join(folder, 'tpm.qcow2');
  const log = join(folder, 'strace.log');
  createQcow2(image, { size: 64 * 1024 * 1024 });
  const writer = join(ROOT, 'dist', 'test', 'cli', '_nv-writer.js');
  const run = spawnSync(
    'strace',
    [
      '-f',
      '-e',
      'trace=fcntl,pwrite64,fdatasync,write',
      '-o',
      log,
      process.execPath,
      writer,
      image,
    ],
    { encoding: 'utf8' },
  );
  t.is(run.status, 0, run.stderr);
  t.deepEqual(callsOfOneWrite(readFileSync(log, 'utf8')), [
    'F_WRLCK',
    'pwrite64', // Blob and directory, in one piece.
    'fdatasync',
    'pwrite64', // The acknowledged mark.
    'F_UNLCK',
  ]);
});
