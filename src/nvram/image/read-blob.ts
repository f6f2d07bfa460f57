/**
 * Reading a blob of a store that stays as it is: from a read-only image, and beside an active instance.
 * @module
 */
import type { LockedNode } from '../../block/node.js';
import { type BlobName, demandBlobName } from '../store.js';
import { openStore } from './candidate.js';
import type { InspectOptions } from './inspect.js';

/** The key of the store, a trace, and which of its states to read. */
export interface ReadBlobOptions extends InspectOptions {
  /** A kept generation; the current one by default. */
  readonly generation?: number | undefined;
}

/**
 * The bytes of a blob, decrypted, the caller's to keep; undefined where there is no such blob. The whole
 * store is validated first. Writes nothing: the store has no new epoch, and its active instance runs on.
 * @throws NvramError INVALID_NAME, EMPTY (where there is no store), CORRUPT, KEY_REQUIRED, WRONG_KEY,
 *   REVISION, TOO_SMALL, NOT_KEPT; ImageError DAMAGED; IoError; LockError NOT_LOCKED
 */
export function readBlob(
  disk: LockedNode,
  name: BlobName,
  { generation, ...options }: ReadBlobOptions = {},
): Uint8Array | undefined {
  demandBlobName(disk.path, name);
  const candidate = openStore(disk, options);
  try {
    return candidate.load(name, generation);
  } finally {
    candidate.discard();
  }
}
