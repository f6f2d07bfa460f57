/**
 * What several subcommands do with an image: open it, and look at the TPM in it without starting it.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { type BlockNode, openImage } from '../block/index.js';
import { Machine, type MachineOptions } from '../machine.js';
import type { Assessment } from '../nvram/index.js';
import { type EngineInfo, StateError } from '../tpm/engine.js';
import { Tpm12 } from '../tpm/tpm12/engine.js';
import type { Trace } from '../trace.js';

/** Random bytes of the system. */
export const entropy = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

/** A clock in microseconds that never goes back. */
export const clock = (): number => Math.floor(performance.now() * 1000);

export interface CommonOptions {
  readonly trace: Trace;
  /** Milliseconds to wait for the lock of the image. */
  readonly lockTimeout: number;
}

export const makeEngine = (): Tpm12 => new Tpm12({ entropy, clock });

/** Opens an image for `act` and closes it, whatever happens. */
export function withImage<T>(
  path: string,
  { readOnly, trace }: { readOnly: boolean; trace: Trace },
  act: (image: BlockNode) => T,
): T {
  const image = openImage(path, { readOnly, trace });
  try {
    return act(image);
  } finally {
    image.close();
  }
}

/** A machine over an open image, with the surroundings of this process. */
export function machineOver(
  image: BlockNode,
  { trace, lockTimeout }: CommonOptions,
  expectExisting = false,
  more: Pick<MachineOptions, 'irq' | 'locality4'> = {},
): Machine {
  return new Machine({
    image,
    engine: () => new Tpm12({ entropy, clock, trace }),
    entropy,
    trace,
    wait: { timeoutMs: lockTimeout },
    expectExisting,
    ...more,
  });
}

/** What the TPM of a store is like, or why its state cannot be read. Nothing is written. */
export function lookInside(
  image: BlockNode,
  found: Assessment,
): EngineInfo | StateError | undefined {
  const entry = found.state?.directory.entries.find(({ name }) => name === 'permall');
  if (found.verdict !== 'OK' || entry === undefined) return undefined;
  const permall = image.read(entry.offset, entry.length);
  const engine = makeEngine();
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
