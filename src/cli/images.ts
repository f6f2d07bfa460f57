/**
 * What several subcommands do with an image: open it, and inspect the TPM in it without starting it.
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
import { type FrontOptions, Machine } from '../machine/index.js';
import {
  type ActiveStore,
  type Inspection,
  type Key,
  NvramError,
  openStore,
  faultOf as storeFaultOf,
} from '../nvram/index.js';
import { systemClock as clock, systemEntropy as entropy } from '../system.js';
import { type EngineInfo, StateError } from '../tpm/engine.js';
import { Tpm12 } from '../tpm/tpm12/tpm12.js';
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

/** A machine over an open image, with this process's clock and randomness. */
export function machineOver(
  image: BlockNode,
  { trace, lockTimeout, imageLock, key }: CommonOptions,
  expectExisting = false,
  more: FrontOptions = {},
): Machine {
  return new Machine({
    image,
    engine: () => new Tpm12({ entropy, clock, trace }),
    entropy,
    trace,
    wait: { timeoutMs: lockTimeout },
    imageLock,
    expectExisting,
    ...(key === undefined ? {} : { key }),
    ...more,
  });
}

/**
 * The TPM of a store, or why its state cannot be read; undefined where there is none, or where it is
 * encrypted and no key was given. Nothing is written.
 */
export function lookInside(
  image: BlockNode,
  { verdict, state }: Inspection,
  { key, lockTimeout }: Pick<CommonOptions, 'key' | 'lockTimeout'>,
): EngineInfo | StateError | undefined {
  const isReadable = key !== undefined || state?.directory.encryption.kind === 0;
  if (verdict !== 'OK' || !isReadable) return undefined;
  const permall = withLock(image, { timeoutMs: lockTimeout }, disk => {
    const candidate = openStore(disk, { key });
    try {
      return candidate.load('permall');
    } finally {
      candidate.discard();
    }
  });
  if (permall === undefined) return undefined;
  const engine = new Tpm12({ entropy, clock });
  try {
    engine.init({
      load: name => (name === 'permall' ? permall : undefined),
      store: () => {},
      delete: () => {},
    });
    return engine.info();
  } catch (error) {
    if (error instanceof StateError) return error;
    throw error;
  } finally {
    engine.close();
  }
}

/** What is wrong with a store, as the error of starting it; undefined for OK and EMPTY. */
export function faultOf(
  path: string,
  found: Inspection,
  inside: EngineInfo | StateError | undefined,
): NvtpmError | undefined {
  if (inside instanceof StateError) {
    const code = inside.code === 'REVISION' ? 'REVISION' : 'CORRUPT';
    return new NvramError(code, path, [inside.message]);
  }
  return storeFaultOf(path, found);
}
