/**
 * The cost of a lock: acquiring and releasing it without contention, and the time from release to
 * acquisition between two processes. Compared with flock(2), as flock(1) uses it, and plain fcntl(2).
 * @module
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bdrv_lock, bdrv_unlock, createQcow2, openImage, takeGuard } from '../src/block/index.js';
import { type LockFlavour, lockDriverFor, WHOLE_FILE } from '../src/lock/index.js';
import { contend, plainLocks } from './lock-ways.js';
import { type Case, type Figure, figureOf, table, takeTurns } from './measure.js';

function throughBlockLayer(folder: string, flavour: LockFlavour): Case & { close(): void } {
  const path = join(folder, `lock-${flavour}.qcow2`);
  createQcow2(path, { size: 2 ** 20 });
  const node = openImage(path, { lockDriver: fd => lockDriverFor(fd, flavour) });
  const guard = takeGuard(node, 'writer');
  const guarded = guard.bytes.length > 0 ? ', with the guard' : '';
  return {
    name: `bdrv_lock, bdrv_unlock: ${flavour}${guarded}`,
    run: () => {
      bdrv_unlock(bdrv_lock(node));
    },
    close: () => node.close(),
  };
}

function uncontended(folder: string, rounds: number): Figure[] {
  const layered = (['ofd', 'posix'] as const).map(each => throughBlockLayer(folder, each));
  const { flock, fcntl, fcntlOfd, close } = plainLocks(join(folder, 'plain'));
  const driver = lockDriverFor(fcntlOfd.fd, 'ofd');
  const cases = [
    ...layered,
    {
      name: 'LockDriver.tryLock, unlock: ofd',
      run: () => {
        driver.tryLock(fcntlOfd.fd, 'exclusive', WHOLE_FILE);
        driver.unlock(fcntlOfd.fd, WHOLE_FILE);
      },
    },
    ...[flock, fcntl, fcntlOfd].map(({ name, acquire, release }) => ({
      name: `plain ${name}`,
      run: () => {
        acquire(false);
        release();
      },
    })),
  ];
  const figures = takeTurns(cases, rounds);
  for (const each of layered) each.close();
  close();
  return figures;
}

/** This process and another one contend for one lock, in each way of waiting in turn. */
function handOver(folder: string, rounds: number): Figure[] {
  const script = fileURLToPath(new URL('lock-ways.js', import.meta.url));
  const results = join(folder, 'other-side.json');
  const other = spawn(process.execPath, [script, folder, `${rounds}`, results], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ours = contend(folder, 0, rounds);
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  while (!existsSync(results)) Atomics.wait(sleeper, 0, 0, 5);
  other.unref();
  const theirs = JSON.parse(readFileSync(results, 'utf8')) as typeof ours;
  return Object.keys(ours).map(way => figureOf(way, [...ours[way]!, ...theirs[way]!]));
}

export function benchLocks(folder: string, rounds: number): string[] {
  if (process.platform !== 'linux') return [];
  return [
    table('A lock without contention', uncontended(folder, rounds)),
    table(
      'From release to acquisition, between two processes',
      handOver(folder, Math.max(100, rounds / 10)),
    ),
  ];
}
