/**
 * The store as an engine sees it. Host failures arrive as StoreFailure, and an absent blob is proven
 * absent: once a TPM was stored, its permall never vanishes into a new TPM.
 * @module
 */
import { NvtpmError } from '../errors.js';
import { type BlobStore, NvramError } from '../nvram/index.js';
import { type BlobName, type NvramPort, StoreFailure } from '../tpm/engine.js';
import type { Trace } from '../trace.js';
import type { Opened } from './storage.js';

export interface PortOptions {
  /** For messages. */
  readonly path: string;
  readonly trace: Trace;
  /** Called for each failure, before the engine sees it. */
  readonly failed: (error: NvtpmError) => void;
}

type Changes = Map<string, Uint8Array | null>;

export class Port implements NvramPort {
  readonly #options: PortOptions;
  readonly #opened: Opened;
  /** What the engine stored before the store was active: committed together with activation. */
  readonly #staged: Changes = new Map();
  #active: BlobStore | undefined;

  constructor(opened: Opened, options: PortOptions) {
    this.#opened = opened;
    this.#options = options;
  }

  /**
   * From now on stores go to `store`; what the engine stored so far is committed first, with
   * `changes`, in one commit.
   */
  activate(store: BlobStore, changes: ReadonlyMap<string, Uint8Array | null>): void {
    store.commit(new Map([...changes, ...this.#staged]));
    this.#staged.clear();
    this.use(store);
  }

  /** From now on stores go to `store`: a store that was taken back is another object. */
  use(store: BlobStore): void {
    this.#active = store;
  }

  load(name: BlobName): Uint8Array | undefined {
    return this.#guarded(`load ${name}`, () => this.#load(name));
  }

  store(name: BlobName, bytes: Uint8Array): void {
    this.#commit(`store ${name}`, name, bytes);
  }

  delete(name: BlobName): void {
    this.#commit(`delete ${name}`, name, null);
  }

  #load(name: BlobName): Uint8Array | undefined {
    const staged = this.#staged.get(name);
    if (staged !== undefined) return staged?.slice();
    const from = this.#active ?? this.#opened;
    const bytes = from.load(name);
    if (bytes !== undefined || name !== 'permall' || from.pristine) return bytes;
    const why = 'a TPM was stored here before, and its permall is gone';
    throw new NvramError('CORRUPT', this.#options.path, [why]);
  }

  #commit(what: string, name: BlobName, bytes: Uint8Array | null): void {
    this.#guarded(what, () => {
      if (this.#active === undefined) this.#staged.set(name, bytes?.slice() ?? null);
      else this.#active.commit(new Map([[name, bytes]]));
    });
  }

  #guarded<T>(what: string, act: () => T): T {
    try {
      return act();
    } catch (error) {
      // Anything else is a bug, or a test's power cut, and not a failure of the host.
      if (!(error instanceof NvtpmError)) throw error;
      this.#options.trace({ event: 'failure', where: what, why: error.message });
      this.#options.failed(error);
      throw new StoreFailure(error);
    }
  }
}
