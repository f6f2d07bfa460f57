/**
 * A machine over an image, for the subcommands that start the TPM.
 * @module
 */
import type { BlockNode } from '../block/index.js';
import { type FrontOptions, Machine } from '../machine/index.js';
import { systemClock as clock, systemEntropy as entropy } from '../system.js';
import { Tpm12 } from '../tpm/tpm12/tpm12.js';
import type { CommonOptions } from './images.js';

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
