/**
 * Opening an image, and the store in it, as several subcommands do.
 * @module
 */
import {
  type BlockNode,
  type GuardMode,
  type GuardRole,
  ImageError,
  openImage,
  takeGuard,
  withLock,
} from '../block/index.js';
import { NvtpmError } from '../errors.js';
import { type ActiveStore, type Key, openStore } from '../nvram/index.js';
import { systemEntropy as entropy } from '../system.js';
import type { Trace } from '../trace.js';

export interface CommonOptions {
  readonly trace: Trace;
  /** Milliseconds to wait for the lock of the image. */
  readonly lockTimeout: number;
  /** Whether QEMU's bytes of the image file are locked. */
  readonly imageLock: GuardMode;
  /** Whether files may be opened that the image names: its backing files. */
  readonly allowBacking: boolean;
  /** What an encrypted store is opened with. */
  readonly key?: Key | undefined;
  /** Servers call it once the key has opened the store; other subcommands need not. */
  readonly keyUsed?: (() => void) | undefined;
}

interface Opening {
  readonly readOnly?: boolean;
  readonly forRepair?: boolean;
}

/** Opens the image that the command line names. @throws ImageError, IoError */
export function openNamed(
  path: string,
  { trace, allowBacking }: Pick<CommonOptions, 'trace' | 'allowBacking'>,
  { readOnly = false, forRepair = false }: Opening = {},
): BlockNode {
  let isRefused = false;
  const backing = (): boolean => {
    isRefused = !allowBacking;
    return allowBacking;
  };
  try {
    return openImage(path, { readOnly, trace, forRepair, backing });
  } catch (error) {
    if (!isRefused || !(error instanceof ImageError)) throw error;
    const advice = 'if the origin of the image is trusted, --allow-backing opens it';
    throw new ImageError(error.code, error.path, error.broken, advice, error);
  }
}

/** Opens an image for `act`, guarded as `role` unless that is undefined, and closes it after. */
export function withImage<T>(
  path: string,
  role: GuardRole | undefined,
  common: CommonOptions & Pick<Opening, 'forRepair'>,
  act: (image: BlockNode) => T,
): T {
  const readOnly = role !== undefined && role !== 'writer';
  const { imageLock, forRepair = false } = common;
  const image = openNamed(path, common, { readOnly, forRepair });
  try {
    const guard = role === undefined ? undefined : takeGuard(image, role, imageLock);
    const result = act(image);
    guard?.release();
    image.close();
    return result;
  } catch (error) {
    closeQuietly(image);
    throw error;
  }
}

/** Opens the store of an image as its one active instance, acts on it, and closes it in order. */
export function withActiveStore<T>(
  path: string,
  common: CommonOptions,
  act: (store: ActiveStore) => T,
): T {
  return withImage(path, 'writer', common, image => {
    const { trace, key, lockTimeout } = common;
    const wait = { timeoutMs: lockTimeout };
    const store = withLock(image, wait, disk =>
      openStore(disk, { trace, entropy, wait, key }).activate(),
    );
    try {
      return act(store);
    } finally {
      store.close();
    }
  });
}

/** Closes what may fail again for the same reason: the first error is the one to report. */
function closeQuietly(image: BlockNode): void {
  try {
    image.close();
  } catch (error) {
    if (!(error instanceof NvtpmError)) throw error;
  }
}
