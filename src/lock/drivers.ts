/**
 * Which flavour of locks an open file gets.
 * @module
 */
import { NvtpmError } from '../errors.js';
import { type LockDriver, LockError, type LockFlavour } from './lock.js';
import { OfdDriver } from './ofd.js';
import { PosixDriver } from './posix.js';
import { pathOf } from './record-locks.js';
import { Win32Driver } from './win32.js';

/** A driver whose kernel may be too old for it. */
interface Candidate extends LockDriver {
  supports?(fd: number): boolean;
}

/** Returns the one driver of a flavour, which serves all files, or throws if the system has no such locks. */
type Load = () => Candidate;

/** In the order in which 'auto' tries them. */
const FLAVOURS: Readonly<Record<LockFlavour, Load>> = {
  ofd: once(() => new OfdDriver()),
  win32: once(() => new Win32Driver()),
  posix: once(() => new PosixDriver()),
};

function once(create: Load): Load {
  let driver: Candidate | undefined;
  return () => {
    driver ??= create();
    return driver;
  };
}

/**
 * The best lock flavour for an open file, or the named one: here, or (instead of
 * 'auto') in the environment variable NVTPM_LOCK_FLAVOUR. Locks nothing and needs no other file.
 * Call it once for each open file and keep the driver: what one flavour locked, only that flavour
 * can unlock.
 * @throws LockError ENOTSUP if the system has no such locks, EINVAL for an unknown name, SYSTEM
 */
export function lockDriverFor(fd: number, flavour: LockFlavour | 'auto' = 'auto'): LockDriver {
  const wanted = flavour === 'auto' ? (process.env['NVTPM_LOCK_FLAVOUR'] ?? 'auto') : flavour;
  const candidates = Object.entries(FLAVOURS).filter(
    ([name]) => wanted === 'auto' || wanted === name,
  );
  if (candidates.length > 0) return firstSupported(fd, candidates);
  const known = Object.keys(FLAVOURS).join(', ');
  throw new LockError(
    'EINVAL',
    pathOf(fd),
    `invalid lock flavour '${wanted}'; choose auto, ${known}`,
  );
}

/** @throws LockError ENOTSUP with the reason of each candidate, SYSTEM */
export function firstSupported(
  fd: number,
  candidates: readonly (readonly [name: string, load: Load])[],
): LockDriver {
  const reasons: string[] = [];
  for (const [name, load] of candidates) {
    const driver = attempt(load);
    if (driver instanceof NvtpmError) reasons.push(`${name}: ${driver.message}`);
    else if (driver.supports?.(fd) ?? true) return driver;
    else reasons.push(`${name}: this kernel has no such locks`);
  }
  const path = pathOf(fd);
  throw new LockError('ENOTSUP', path, `${path}: no usable file locks (${reasons.join('; ')})`);
}

/** The driver, or why the system has none. */
function attempt(load: Load): Candidate | NvtpmError {
  try {
    return load();
  } catch (error) {
    if (error instanceof NvtpmError) return error;
    throw error;
  }
}
