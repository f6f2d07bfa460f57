/**
 * What an instance is made from, and what it is made of.
 * @module
 */
import type { GuardMode } from '../block/guard.js';
import type { NvtpmError } from '../errors.js';
import type { BlobStore } from '../nvram/index.js';
import type { Engine, EngineFactory } from '../tpm/engine.js';
import type { Lease } from './lease.js';
import type { Port } from './port.js';
import type { Storage, StorageOptions } from './storage.js';

/** What an instance is made of, besides its image or store. */
export interface InstanceSettings extends StorageOptions {
  /** Makes the TPM engine anew at each power on and reset. */
  readonly engine: EngineFactory;
  /** Whether QEMU's bytes of the image file are locked while the TPM is active. Default auto. */
  readonly imageLock?: GuardMode;
  /** Refuses an EMPTY image too, instead of making a new TPM in it. */
  readonly expectExisting?: boolean;
  /** Called for each failure to load or store, before the guest gets TPM_FAIL. */
  readonly failed?: (error: NvtpmError) => void;
}

/** Where an instance stores, and what it is made of. */
export type InstanceOptions = Storage & InstanceSettings;

/** What an instance is made of, and is released with it. */
export interface Parts {
  /** Of the store, for messages. */
  readonly path: string;
  readonly options: InstanceOptions;
  readonly lease: Lease;
  readonly port: Port;
  readonly store: BlobStore;
  readonly engine: Engine;
}
