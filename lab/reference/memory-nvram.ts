/** A place for blobs in memory, that can be told to fail, and that remembers what was asked of it. */
import { type BlobName, type NvramPort, StoreFailure } from '../../src/tpm/engine.js';

export class MemoryNvram implements NvramPort {
  readonly blobs = new Map<BlobName, Uint8Array>();
  /** Every store and delete, in order: `store permall`, … */
  readonly log: string[] = [];
  storesFail = false;
  loadsFail = false;

  load(name: BlobName): Uint8Array | undefined {
    if (this.loadsFail) throw new StoreFailure(new Error('the medium is gone'));
    return this.blobs.get(name)?.slice();
  }

  store(name: BlobName, bytes: Uint8Array): void {
    if (this.storesFail) throw new StoreFailure(new Error('no space left'));
    this.log.push(`store ${name}`);
    this.blobs.set(name, bytes.slice());
  }

  delete(name: BlobName): void {
    if (this.storesFail) throw new StoreFailure(new Error('no space left'));
    if (this.blobs.delete(name)) this.log.push(`delete ${name}`);
  }

  get permall(): Uint8Array {
    return this.blobs.get('permall') ?? new Uint8Array();
  }
}
