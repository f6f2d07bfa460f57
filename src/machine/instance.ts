/**
 * A TPM that is active: store, engine, and the lease on the image; no registers. An instance exists
 * only while it is active. What ends it (close, abandon, handOver, a failed reset) releases all three.
 * @module
 */
import { type BlobStore, type HandedOver, HandedOverStore } from '../nvram/index.js';
import type { BlobName, Engine, EngineInfo } from '../tpm/engine.js';
import { safeTrace } from '../trace.js';
import { demandAdoptable, type Origin, power, replaceIn, type StateBlobs } from './adopt.js';
import { Cleanup } from './cleanup.js';
import { MachineError } from './errors.js';
import { HandedOverInstance } from './handed-over.js';
import { Lease } from './lease.js';
import { loaded } from './loaded.js';
import type { InstanceOptions, Parts } from './parts.js';
import { Port } from './port.js';
import { demandResumable, type InstanceState, stateOf } from './state.js';
import { infoOf, type Opened, opening, type StoreInfo } from './storage.js';

/** How a power cycle begins: from the stored state, or with a volatile state. */
interface Beginning {
  readonly whenEmpty: 'refuse' | 'format';
  /** Loads the engine, before anything is written. */
  readonly load: (engine: Engine, port: Port, opened: Opened) => void;
  /** Called before the first write. */
  readonly writing?: () => void;
}

/** An active TPM: store, engine, and the lease on the image. */
export class Instance {
  readonly #parts: Omit<Parts, 'engine'>;
  #engine: Engine;
  #ended = false;

  constructor({ engine, ...parts }: Parts) {
    this.#parts = parts;
    this.#engine = engine;
  }

  /**
   * A cold start. A new TPM is made only where the store is proven empty, and nothing is written
   * before the engine has accepted everything that is there.
   * @throws NvramError EMPTY (with expectExisting), CORRUPT, REVISION, TOO_SMALL, KEY_REQUIRED,
   *   WRONG_KEY; LockError; ImageError; IoError
   */
  static coldStart(options: InstanceOptions): Instance {
    return begin(options, {
      whenEmpty: options.expectExisting ? 'refuse' : 'format',
      load: (engine, port) => engine.init(port),
    });
  }

  /**
   * Resumes a TPM that another instance has handed over.
   * @throws MachineError REFUSED (nothing was written), or UNCERTAIN, with the cause: it failed after
   *   the first write, and the image may belong to this instance; what coldStart throws
   */
  static takeOver(options: InstanceOptions, state: InstanceState): Instance {
    let written = false;
    try {
      return begin(options, {
        ...resuming('handed over', state),
        writing: () => {
          written = true;
        },
      });
    } catch (error) {
      if (!written || !(error instanceof Error)) throw error;
      const why = `the take-over failed after its first write: ${error.message}`;
      throw new MachineError('UNCERTAIN', why, { cause: error });
    }
  }

  /**
   * Resumes a TPM from a snapshot. The image must hold what it held then.
   * @throws MachineError REFUSED; what coldStart throws
   */
  static load(options: InstanceOptions, state: InstanceState): Instance {
    return begin(options, resuming('snapshot', state));
  }

  /**
   * Powers on with state blobs from outside, which replace what is stored; what they replace is kept
   * as a generation.
   * @throws MachineError REFUSED: the image has another TPM, or was not handed over with these blobs;
   *   StateError (nothing was written); what coldStart throws
   */
  static adopt(options: InstanceOptions, blobs: StateBlobs, origin: Origin): Instance {
    let before = 0;
    const instance = begin(options, {
      whenEmpty: 'format',
      load: (engine, port, opened) => {
        // First: of some engines a process can have only one.
        demandAdoptable(options.engine, opened, { blobs, origin });
        before = opened.generation ?? 0;
        replaceIn(port, blobs);
        power(engine, port, blobs);
      },
    });
    const { generation, kept } = instance.storeInfo;
    const replaced = kept.find(each => each >= before);
    safeTrace(options.trace)({ event: 'adopt', origin, generation, replaced });
    return instance;
  }

  /** Whether everything is released: after close, abandon and handOver, and where those or reset failed. */
  get ended(): boolean {
    return this.#ended;
  }

  get kind(): Engine['kind'] {
    return this.#engine.kind;
  }

  get commandBytes(): number {
    return this.#engine.commandBytes;
  }

  get info(): EngineInfo {
    return this.#engine.info();
  }

  get storeInfo(): StoreInfo {
    return infoOf(this.#parts.store);
  }

  /** A blob as it is now; the volatile state is made for this. @throws StoreFailure, StateError; NvramError, LockError, IoError */
  blob(name: BlobName): Uint8Array | undefined {
    return name === 'volatilestate' ? this.#engine.volatileState() : this.#parts.store.load(name);
  }

  /** Runs one command to its end. */
  process(command: Uint8Array, locality: number): Uint8Array {
    return this.#engine.process(command, locality);
  }

  /** The engine, for the functions of the front end that are not commands. */
  get engine(): Engine {
    return this.#engine;
  }

  /**
   * Starts the TPM over from its stored state. After an exception the instance has ended.
   * @throws NvramError, StateError; LockError; IoError
   */
  reset(): void {
    const { options, path, port } = this.#parts;
    // Closed first: of some engines a process can have only one.
    this.#engine.close();
    try {
      this.#engine = loaded(options, path, port, engine => engine.init(port));
    } catch (error) {
      this.#release(store => store.abandon());
      throw error;
    }
  }

  /** The state of the running TPM, which keeps running. */
  save(): InstanceState {
    return stateOf(this.#engine, this.#parts.store);
  }

  /**
   * Leaves the store to another instance. After an exception this one is still active, unless it
   * has ended.
   * @throws MachineError UNSUPPORTED; NvramError FENCED, CORRUPT; LockError; IoError
   */
  handOver(): HandedOverInstance {
    const { store, lease } = this.#parts;
    if (!store.can.handOver || store.handOver === undefined) {
      throw new MachineError('UNSUPPORTED', `${store.path}: this store cannot be handed over`);
    }
    const saved = this.save();
    const left = store.handOver();
    this.#ended = true;
    const state = { ...saved, store: { ...saved.store, ...positionOf(left) } };
    const parts = { ...this.#parts, engine: this.#engine, store: left, state };
    const instance = new HandedOverInstance(parts);
    try {
      lease.become('incoming');
    } catch (error) {
      instance.abandon();
      throw error;
    }
    return instance;
  }

  /**
   * Closes the store in order: any later damage to it is known to be damage. Everything is released,
   * also when this throws.
   * @throws NvramError FENCED, CORRUPT; LockError; IoError
   */
  close(): void {
    this.#end(store => store.close());
  }

  /** Releases everything and writes nothing, as a power cut. */
  abandon(): void {
    this.#end(store => store.abandon());
  }

  #end(release: (store: BlobStore) => void): void {
    this.#release(store => {
      this.#engine.close();
      release(store);
    });
  }

  /** All but the engine. */
  #release(release: (store: BlobStore) => void): void {
    const { store, lease } = this.#parts;
    this.#ended = true;
    using held = new Cleanup();
    held.add(lease, each => each.release());
    held.add(store, each => each.abandon());
    release(store);
    held.keep();
    lease.release();
  }
}

/** Handing over may itself have committed a generation. */
function positionOf(left: HandedOver): { generation?: number; epoch?: number } {
  if (!(left instanceof HandedOverStore)) return {};
  const { generation, epoch } = left;
  return { generation, epoch };
}

const resuming = (what: 'handed over' | 'snapshot', state: InstanceState): Beginning => ({
  whenEmpty: 'refuse',
  load: (engine, port, opened) => {
    demandResumable(what, { state, engine, opened });
    engine.restore(port, state.volatile.bytes);
  },
});

/** A migration's leftover would resume a TPM that this power cycle has ended. */
const LEFTOVERS = new Map([['volatilestate', null]]);

/** Guard, then one lock cycle: open, validate by the engine, activate. */
function begin(options: InstanceOptions, { whenEmpty, load, writing }: Beginning): Instance {
  const { image, imageLock = 'auto', failed = () => {} } = options;
  using held = new Cleanup();
  const lease = held.add(new Lease(image, imageLock, 'writer'), each => each.release());
  const parts = opening(options, whenEmpty, opened => {
    held.add(opened, each => each.discard());
    const { path } = opened;
    const port = new Port(opened, { path, trace: safeTrace(options.trace), failed });
    const engine = loaded(options, path, port, each => load(each, port, opened));
    held.add(engine, each => each.close());
    writing?.();
    const store = held.add(opened.activate(), each => each.abandon());
    port.activate(store, LEFTOVERS);
    return { options, path, lease, port, store, engine };
  });
  held.keep();
  return new Instance(parts);
}
