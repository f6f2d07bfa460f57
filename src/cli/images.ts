/**
 * What several subcommands do with an image: open it, and look at the TPM in it without starting it.
 * @module
 */
import {
  type BlockNode,
  type GuardMode,
  type GuardRole,
  openImage,
  takeGuard,
  withLock,
} from '../block/index.js';
import { NvtpmError } from '../errors.js';
import { type FrontOptions, Machine } from '../machine/index.js';
import { type Inspection, type Key, openStore } from '../nvram/index.js';
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
  /** Called by commands that go on, once the key has opened the store. */
  readonly keyUsed?: () => void;
}

/** Opens an image for `act`, guarded as `role` unless that is undefined, and closes it after. */
export function withImage<T>(
  path: string,
  role: GuardRole | undefined,
  { trace, imageLock, allowBacking, forRepair = false }: CommonOptions & { forRepair?: boolean },
  act: (image: BlockNode) => T,
): T {
  const readOnly = role !== undefined && role !== 'writer';
  const image = openImage(path, { readOnly, trace, forRepair, backing: () => allowBacking });
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

/** Closes what may fail once more for the same reason: the first error is the one to tell. */
function closeQuietly(image: BlockNode): void {
  try {
    image.close();
  } catch (error) {
    if (!(error instanceof NvtpmError)) throw error;
  }
}

/** A machine over an open image, with the surroundings of this process. */
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
 * What the TPM of a store is like, or why its state cannot be read; undefined where there is none,
 * or where it is encrypted and no key was given. Nothing is written.
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
