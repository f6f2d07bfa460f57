/**
 * An instance that has left its store to a migration target, and keeps its engine until it is known
 * which of the two is active. That stands in the image, and not in what the target answers.
 * @module
 */
import type { BlockNode } from '../block/node.js';
import { LockError } from '../lock/lock.js';
import { type BlobStore, type HandedOver, NvramError } from '../nvram/index.js';
import { MachineError } from './errors.js';
import type { Parts } from './parts.js';
import type { InstanceState } from './state.js';

interface HandedOverParts extends Omit<Parts, 'store'> {
  readonly store: HandedOver;
  readonly state: InstanceState;
}

/** An instance between handing over and knowing which of the two is active. */
export class HandedOverInstance {
  readonly #parts: HandedOverParts;
  #ended = false;

  /** @internal */
  constructor(parts: HandedOverParts) {
    this.#parts = parts;
  }

  /** What has to travel besides the image. */
  get state(): InstanceState {
    return this.#parts.state;
  }

  /** Whether everything is released. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * The parts of an active instance again, unless another one has become active. Tries once, without
   * waiting.
   * @throws NvramError FENCED: the target has the store; CORRUPT; MachineError UNCERTAIN, with the
   *   cause: the lock was lost after the store was resumed. The instance has ended then.
   *   LockError LOCKED, IoError: not known yet; try again, nothing has changed
   */
  takeBack(): Parts {
    const { store, state, ...parts } = this.#parts;
    let active: BlobStore | undefined;
    try {
      // The epoch first: a target that is active holds the guard for long.
      inLock(parts.options.image, () => demandOurs(parts.path, store));
      parts.lease.become('writer');
      inLock(parts.options.image, () => {
        active = store.resume();
      });
      parts.port.use(active!);
      return { ...parts, store: active! };
    } catch (error) {
      if (active !== undefined) {
        active.abandon();
        this.abandon();
        throw new MachineError('UNCERTAIN', `${parts.path}: taking it back failed`, {
          cause: error,
        });
      }
      if (error instanceof NvramError) this.abandon();
      else parts.lease.become('incoming');
      throw error;
    }
  }

  /** Ends it, and writes nothing: the store stays as it was handed over, or is the target's. */
  abandon(): void {
    const { store, engine, lease } = this.#parts;
    this.#ended = true;
    try {
      engine.close();
      store.abandon();
    } finally {
      lease.release();
    }
  }
}

function demandOurs(path: string, store: HandedOver): void {
  if (store.isOurs()) return;
  throw new NvramError('FENCED', path, ['the migration target has taken it over']);
}

/** Runs `act` inside the cycle lock of the image. @throws LockError LOCKED at once if it is held */
function inLock(image: BlockNode | undefined, act: () => void): void {
  if (image === undefined) {
    act();
    return;
  }
  const disk = image.tryLock();
  if (disk === undefined) {
    const holder = image.lockHolder('exclusive');
    const why = `${image.path} is locked by another process; try again when it is done`;
    throw new LockError('LOCKED', image.path, why, { holder });
  }
  try {
    act();
  } catch (error) {
    disk.abandon();
    throw error;
  }
  disk.release();
}
