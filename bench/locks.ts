/**
 * What a lock costs: taking and giving back where nobody wants it, and how long it takes to change
 * hands where somebody does. Beside flock(2), as flock(1) uses it, and fcntl(2) called plainly.
 * @module
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bdrv_lock, bdrv_unlock, createQcow2, openImage, takeGuard } from '../src/block/index.js';
import { chooseLockDriver, type LockFlavour, WHOLE_FILE } from '../src/lock/index.js';
import { contend, plainLocks } from './lock-ways.js';
import { type Case, type Figure, figureOf, table, takeTurns } from './measure.js';

function throughBlockLayer(folder: string, flavour: LockFlavour): Case & { close(): void } {
  const path = join(folder, `lock-${flavour}.qcow2`);
  createQcow2(path, { size: 2 ** 20 });
  const node = openImage(path, { lockDriver: chooseLockDriver(flavour) });
  const guard = takeGuard(node, 'writer');
  const guarded = guard.bytes.length > 0 ? ', with the guard' : '';
  return {
    name: `bdrv_lock, bdrv_unlock: ${flavour}${guarded}`,
    run: () => {
      bdrv_lock(node);
      bdrv_unlock(node);
    },
    close: () => node.close(),
  };
}

function uncontended(folder: string, rounds: number): Figure[] {
  const layered = (['ofd', 'posix'] as const).map(each => throughBlockLayer(folder, each));
  const { flock, fcntl, fcntlOfd, close } = plainLocks(join(folder, 'plain'));
  const driver = chooseLockDriver('ofd');
  const cases = [
    ...layered,
    {
      name: 'LockDriver.tryLock, unlock: ofd',
      run: () => {
        driver.tryLock(fcntlOfd.fd, 'exclusive', WHOLE_FILE);
        driver.unlock(fcntlOfd.fd, WHOLE_FILE);
      },
    },
    ...[flock, fcntl, fcntlOfd].map(({ name, take, give }) => ({
      name: `plain ${name}`,
      run: () => {
        take(false);
        give();
      },
    })),
  ];
  const figures = takeTurns(cases, rounds);
  for (const each of layered) each.close();
  close();
  return figures;
}

/** This process and another one want the same lock, in each way of waiting in turn. */
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
    table('A lock that nobody else wants', uncontended(folder, rounds)),
    table(
      'From giving back to having it, between two processes',
      handOver(folder, Math.max(100, rounds / 10)),
    ),
  ];
}
