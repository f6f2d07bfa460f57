/**
 * The destination of a migration. It validates the image twice: when it starts, so that a faulty image
 * ends it before the source is involved, and again under the exclusive lock when the machine
 * arrives, since the store may have changed meanwhile. Only then does it write and answer yes.
 * @module
 */
import { type GuardMode, takeGuard } from '../block/guard.js';
import { withLock } from '../block/lock.js';
import type { BlockNode } from '../block/node.js';
import type { LockWait } from '../lock/lock.js';
import { MachineError } from '../machine/errors.js';
import type { MachineState } from '../machine/state.js';
import { type Key, openStore } from '../nvram/index.js';
import { TisStateError } from '../tis/index.js';
import { StateError } from '../tpm/engine.js';
import { safeTrace, type Trace } from '../trace.js';
import { type Channel, ChannelError } from './channel.js';
import { MigrationError } from './errors.js';
import { readManifest } from './manifest.js';

/** How a destination validates its image. */
export interface IncomingOptions {
  readonly trace?: Trace;
  readonly wait?: LockWait;
  readonly imageLock?: GuardMode;
  /** What an encrypted store is opened with. */
  readonly key?: Key | undefined;
}

/**
 * The first look at an image that a machine will arrive on: writes nothing, and runs beside the source.
 * @throws NvramError EMPTY, CORRUPT, REVISION, TOO_SMALL, KEY_REQUIRED, WRONG_KEY; LockError; ImageError;
 *   IoError
 */
export function validateIncoming(image: BlockNode, options: IncomingOptions = {}): void {
  // The source holds the guard and keeps it: only the cycle lock is taken, beside it.
  using _guard = takeGuard(image, 'incoming', options.imageLock ?? 'auto');
  withLock(image, options.wait, disk =>
    openStore(disk, { ...options, whenEmpty: 'refuse' }).discard(),
  );
}

/** A machine that can arrive. */
export interface Arrival {
  /** See Machine.takeOver. */
  takeOver(state: MachineState): void | Promise<void>;
}

/** The limits at the destination, and its trace. */
export interface AcceptOptions {
  /** Milliseconds to wait for the manifest, and for the answer to be written. Default 60,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly trace?: Trace;
}

/**
 * Waits for a source on `channel`, and takes over what it sends, or refuses and says why. Once this
 * machine has taken over, a connection that breaks is no error.
 * @throws MigrationError MALFORMED, REFUSED; NvramError, LockError, IoError, ImageError: nothing was
 *   written, and the source was told no. MigrationError UNCERTAIN with the cause: it failed after the
 *   first write, and the source was told that the image decides. ChannelError: no manifest arrived.
 */
export async function accept(
  machine: Arrival,
  channel: Channel,
  { timeoutMs = 60_000, signal, trace: given }: AcceptOptions = {},
): Promise<void> {
  const trace = safeTrace(given);
  const message = await channel.receive({ timeoutMs, signal });
  const answer = async (step: string, said: object, detail?: string): Promise<void> => {
    trace({ event: 'migrate', step, ...(detail === undefined ? {} : { detail }) });
    try {
      await channel.send(said, { timeoutMs });
    } catch (error) {
      if (!(error instanceof ChannelError)) throw error;
      trace({ event: 'migrate', step: 'not answered', detail: error.message });
    }
  };
  try {
    const state = readManifest(message);
    trace({ event: 'migrate', step: 'offered', detail: `generation ${state.store.generation}` });
    await machine.takeOver(state);
  } catch (error) {
    const refusal = refusalOf(error);
    const why = refusal instanceof Error ? refusal.message : String(refusal);
    const uncertain = refusal instanceof MigrationError && refusal.code === 'UNCERTAIN';
    if (uncertain) await answer('failed', { taken: 'unknown', why }, why);
    else await answer('refused', { taken: false, why }, why);
    throw refusal;
  }
  await answer('taken over', { taken: true });
}

/** What an error of the machine means for the migration. */
function refusalOf(error: unknown): unknown {
  if (error instanceof StateError || error instanceof TisStateError) {
    return new MigrationError('MALFORMED', [error.message], error);
  }
  if (!(error instanceof MachineError)) return error;
  if (error.code === 'REFUSED') return new MigrationError('REFUSED', error.broken, error);
  if (error.code !== 'UNCERTAIN') return error;
  return new MigrationError('UNCERTAIN', [error.message], error.cause);
}
