/**
 * Locks on files, whole or by byte range, between processes.
 * @module
 */
import { closeSync, openSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LockDriver, LockError, type LockFlavour } from './lock.js';
import { OfdDriver } from './ofd.js';
import { PosixDriver } from './posix.js';
import { Win32Driver } from './win32.js';

export * from './lock.js';
export { closeFile } from './registry.js';
export { type LockRequest, lock } from './wait.js';

/** In the order in which 'auto' tries them. A constructor throws where the system has no such. */
const FLAVOURS: Readonly<Record<LockFlavour, () => LockDriver>> = {
  ofd: () => new OfdDriver(),
  win32: () => new Win32Driver(),
  posix: () => new PosixDriver(),
};

const chosen = new Map<LockFlavour | 'auto', LockDriver>();

/**
 * The best lock flavour that this system has, tried out once on a file of its own; or the one that
 * is asked for by name, here or (instead of 'auto') in the environment variable NVTPM_LOCK_FLAVOUR.
 * @throws LockError ENOTSUP where there is none, EINVAL where there is none of that name
 */
export function chooseLockDriver(flavour: LockFlavour | 'auto' = 'auto'): LockDriver {
  const wanted = flavour === 'auto' ? (process.env['NVTPM_LOCK_FLAVOUR'] ?? 'auto') : flavour;
  if (wanted !== 'auto' && !isFlavour(wanted)) {
    const names = Object.keys(FLAVOURS).join(', ');
    throw new LockError('EINVAL', '', `'${wanted}' is no flavour of locks; choose auto, ${names}`);
  }
  const known = chosen.get(wanted);
  if (known !== undefined) return known;
  const candidates = wanted === 'auto' ? Object.keys(FLAVOURS).filter(isFlavour) : [wanted];
  const reasons: string[] = [];
  for (const candidate of candidates) {
    try {
      const driver = chosen.get(candidate) ?? FLAVOURS[candidate]();
      probe(driver);
      chosen.set(candidate, driver).set(wanted, driver);
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

const isFlavour = (name: string): name is LockFlavour => Object.hasOwn(FLAVOURS, name);

/** Takes and gives back a lock on a new file: a kernel without this flavour says EINVAL. */
function probe(driver: LockDriver): void {
  const path = join(tmpdir(), `.nvtpm-lock-probe-${process.pid}-${performance.now()}`);
  const fd = openSync(path, 'wx+', 0o600);
  try {
    const range = { start: 0, length: 1 };
    driver.tryLock(fd, 'exclusive', range);
    driver.unlock(fd, range);
  } finally {
    closeSync(fd);
    unlinkSync(path);
  }
}
