/**
 * Locks on files, whole or by byte range, between processes.
 * @module
 */
import { closeSync, openSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LockDriver, LockError, type LockFlavour } from './lock.js';
import { OfdDriver } from './ofd.js';

export * from './lock.js';
export { type LockRequest, lock } from './wait.js';

type Flavours = Partial<Record<LockFlavour, () => LockDriver>>;
const FLAVOURS: Flavours = { ofd: () => new OfdDriver() };

const chosen = new Map<LockFlavour | 'auto', LockDriver>();

/**
 * The best lock flavour that this system has, tried out once on a file of its own; or the one that
 * is asked for by name.
 * @throws LockError ENOTSUP where there is none
 */
export function chooseLockDriver(flavour: LockFlavour | 'auto' = 'auto'): LockDriver {
  const known = chosen.get(flavour);
  if (known !== undefined) return known;
  const candidates = flavour === 'auto' ? (Object.keys(FLAVOURS) as LockFlavour[]) : [flavour];
  const reasons: string[] = [];
  for (const candidate of candidates) {
    try {
      const driver = FLAVOURS[candidate]?.();
      if (driver === undefined) throw new Error('not available');
      probe(driver);
      chosen.set(flavour, driver);
      return driver;
    } catch (error) {
      reasons.push(`${candidate}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new LockError(
    'ENOTSUP',
    '',
    `this system has no usable file locks (${reasons.join('; ')})`,
  );
}

/** Takes and gives back a lock on a new file: a kernel without this flavour says EINVAL. */
function probe(driver: LockDriver): void {
  const path = join(tmpdir(), `.nvtpm-lock-probe-${process.pid}-${performance.now()}`);
  const fd = openSync(path, 'wx+', 0o600);
  try {
    unlinkSync(path);
    const range = { start: 0, length: 1 };
    driver.tryLock(fd, 'exclusive', range);
    driver.unlock(fd, range);
  } finally {
    closeSync(fd);
  }
}
