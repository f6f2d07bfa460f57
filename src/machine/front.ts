/**
 * What the two kinds of machine, with their instance here or in a worker, have in common.
 * @module
 */
import { type InterruptLine, type Personality, Tis, type TisBackend } from '../tis/index.js';
import type { Trace } from '../trace.js';
import type { Executor } from './execution.js';

/** The phases of a machine (docs/architecture.md). */
export type Power = 'off' | 'on' | 'handed over' | 'gone';

/** The registers of a machine, and when their commands run. */
export interface FrontOptions {
  /** Called with the level of the interrupt line whenever it changes. */
  readonly irq?: InterruptLine;
  /** Whether writes to locality 4 reach the registers: see TisOptions. Default: false. */
  readonly locality4?: boolean;
  /**
   * When a command that the guest starts through the registers runs: within the access, where a
   * contended image blocks the thread (inline, the default); at once if the lock of the image is free,
   * otherwise as soon as it is (when free: for a process with an event loop); or when the executor
   * decides. Until then STS shows it as running.
   */
  readonly execution?: 'inline' | 'when free' | Executor;
}

type Wiring = Pick<FrontOptions, 'irq' | 'locality4'> & { readonly trace?: Trace };

/** The registers of a machine. */
export function makeFront(
  backend: TisBackend,
  personality: Personality,
  { irq, locality4 = false, trace }: Wiring,
): Tis {
  return new Tis({
    backend,
    personality,
    locality4,
    ...(irq === undefined ? {} : { irq }),
    ...(trace === undefined ? {} : { trace }),
  });
}

/**
 * Validates a saved state of the registers before anything is written, on a device like the one that
 * will restore it, but without an interrupt line.
 * @throws TisStateError
 */
export function demandRestorable(
  tis: unknown,
  personality: Personality,
  { locality4 }: Pick<FrontOptions, 'locality4'>,
): void {
  makeFront(NO_TPM, personality, locality4 === undefined ? {} : { locality4 }).restoreState(tis);
}

/** The backend of a device that only validates a state. */
const NO_TPM: TisBackend = {
  execute: () => {},
  cancel: () => {},
  established: () => false,
  hashStart: () => {},
  hashData: () => {},
  hashEnd: () => {},
};
