/**
 * Reading from the image which of two machines has the TPM, with retries: a reader may hold its guard,
 * or a file server may be unreachable for a moment.
 * @module
 */
import { IoError } from '../errors.js';
import { LockError } from '../lock/lock.js';
import { pause } from '../lock/wait.js';
import type { MachineState } from '../machine/state.js';
import { NvramError } from '../nvram/index.js';

/** A machine that can be moved, synchronous or not. */
export interface Movable {
  /** Resolves once no command runs and the image is free. */
  whenIdle(wait?: { signal?: AbortSignal; timeoutMs?: number }): Promise<void>;
  /** See Machine.handOver. */
  handOver(): MachineState | Promise<MachineState>;
  /** See Machine.takeBack. */
  takeBack(): void | Promise<void>;
}

/** How long the image is read again and again. */
export interface TakeBackOptions {
  /** Ends the retries. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds to retry. Default: no limit. */
  readonly timeoutMs?: number | undefined;
}

/** What the image says: the machine runs on, the destination has the TPM, or it could not be read. */
export type TakeBackResult =
  | { readonly is: 'back' }
  | { readonly is: 'fenced' }
  | { readonly is: 'unknown'; readonly why: string };

/** Each try also looks up the holder of the lock, so long waits use long intervals. */
const SHORTEST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 250;

/**
 * Takes back a machine that was handed over, as soon as the image can be read. Tries at least once.
 * @throws NvramError CORRUPT, and what else has ended the machine
 */
export async function takeBack(
  machine: Pick<Movable, 'takeBack'>,
  { signal, timeoutMs = Number.POSITIVE_INFINITY }: TakeBackOptions = {},
): Promise<TakeBackResult> {
  const start = performance.now();
  for (;;) {
    let why: string;
    try {
      await machine.takeBack();
      return { is: 'back' };
    } catch (error) {
      if (error instanceof NvramError && error.code === 'FENCED') return { is: 'fenced' };
      if (!(error instanceof LockError || error instanceof IoError)) throw error;
      why = error.message;
    }
    const waited = performance.now() - start;
    if (signal?.aborted || waited >= timeoutMs) return { is: 'unknown', why };
    const share = Math.min(Math.max(SHORTEST_PAUSE_MS, waited / 8), LONGEST_PAUSE_MS);
    await pause(Math.min(share, timeoutMs - waited), signal);
  }
}
