/**
 * The side that a machine comes to. It looks twice: when it starts, so that a faulty image ends it
 * before the source has noticed anything, and again under the exclusive lock when the machine
 * arrives, since the state may have changed meanwhile. Only then does it write, and only then say yes.
 * @module
 */
import type { Socket } from 'node:net';
import { type GuardMode, takeGuard } from '../block/guard.js';
import { withLock } from '../block/lock.js';
import type { BlockNode } from '../block/node.js';
import type { LockWait } from '../lock/lock.js';
import type { Machine, MachineState } from '../machine.js';
import { faultOf, type Inspection, inspectStore, NvramError } from '../nvram/index.js';
import { StateError } from '../tpm/engine.js';
import { noTrace, type Trace } from '../trace.js';
import { receive, send } from './channel.js';
import { MigrationError, mustBeAcceptable, readManifest } from './manifest.js';

interface StoreOptions {
  readonly trace?: Trace;
  readonly wait?: LockWait;
}

/**
 * The first look: locks, validates, unlocks. An EMPTY image is no target: the state has to be there.
 * @throws NvramError EMPTY, CORRUPT, REVISION, TOO_SMALL; LockError; IoError
 */
export function validateIncoming(
  image: BlockNode,
  options: StoreOptions & { readonly imageLock?: GuardMode } = {},
): Inspection {
  // The source has the image, and keeps it: only the cycle lock is taken, beside the source's guard.
  using _guard = takeGuard(image, 'incoming', options.imageLock ?? 'auto');
  const found = withLock(image, options.wait, disk => inspectStore(disk, options));
  if (found.verdict === 'OK') return found;
  const empty = new NvramError('EMPTY', image.path, ['there is no TPM in it to take over']);
  throw faultOf(image.path, found) ?? empty;
}

/**
 * Waits for a source on `socket` and takes over what it sends, or refuses and says why. What it
 * throws has been told to the source, and nothing was written.
 * @throws MigrationError, NvramError, LockError, IoError, ChannelError
 */
export async function accept(
  machine: Machine,
  socket: Socket,
  { timeoutMs = 60_000, trace = noTrace }: { timeoutMs?: number } & StoreOptions = {},
): Promise<void> {
  const message = await receive(socket, timeoutMs);
  try {
    const manifest = readManifest(message);
    trace({ event: 'migrate', step: 'offered', detail: `generation ${manifest.generation}` });
    const state = {
      tis: manifest.tis,
      volatile: new Uint8Array(Buffer.from(manifest.volatile, 'base64')),
    } as MachineState;
    machine.takeOver(state, store => mustBeAcceptable(manifest, store));
  } catch (error) {
    const refusal =
      error instanceof StateError ? new MigrationError('MALFORMED', [error.message], error) : error;
    const why = refusal instanceof Error ? refusal.message : String(refusal);
    trace({ event: 'migrate', step: 'refused', detail: why });
    send(socket, { taken: false, why });
    throw refusal;
  }
  trace({ event: 'migrate', step: 'taken over' });
  send(socket, { taken: true });
}
