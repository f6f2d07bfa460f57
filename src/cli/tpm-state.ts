/**
 * The state of a TPM in an image, or a kept one, read without starting the TPM. Nothing is written.
 * @module
 */
import { withLock } from '../block/index.js';
import { type BlobName, NvramError, openStore } from '../nvram/index.js';
import { StateError } from '../tpm/engine.js';
import { fingerprint } from './fingerprint.js';
import { type CommonOptions, withImage } from './images.js';
import { describeTpm, isStoredOnly } from './inside.js';
import { UsageError } from './output.js';
import { toHex } from './values.js';

export interface TpmState {
  readonly image: string;
  readonly generation: number;
  readonly uuid: string;
  /** The fingerprint of the EK; null where there is none, or no TPM that can be read. */
  readonly ek: string | null;
  readonly blobs: ReadonlyMap<BlobName, Uint8Array>;
}

/** Which state, and how the image is opened. */
export interface Which extends CommonOptions {
  /** A kept generation; undefined for the current one. */
  readonly generation: number | undefined;
  /** Whether another process may write to the image meanwhile. */
  readonly forceShare: boolean;
}

/** @throws NvramError EMPTY where there is no store; UsageError for a generation that is not kept; what openStore throws; LockError LOCKED */
export function stateIn(path: string, which: Which): TpmState {
  const { trace, key, lockTimeout } = which;
  return withImage(path, which.forceShare ? 'sharing' : 'reader', which, image =>
    withLock(image, { timeoutMs: lockTimeout }, disk => {
      const candidate = openStore(disk, { trace, key });
      try {
        const { uuid } = candidate;
        if (uuid === undefined) throw new NvramError('EMPTY', path, ['there is no store in it']);
        const wanted = which.generation ?? candidate.generation;
        const state = candidate.states.find(each => each.generation === wanted);
        if (state === undefined) throw notKept(path, wanted);
        const blobs = new Map(
          state.entries.map(({ name }) => [name, candidate.load(name, wanted) ?? new Uint8Array()]),
        );
        return { image: path, generation: wanted, uuid: toHex(uuid), ek: ekOf(blobs), blobs };
      } finally {
        candidate.discard();
      }
    }),
  );
}

const notKept = (path: string, wanted: number): UsageError =>
  new UsageError(
    `${path}: generation ${wanted} is not kept; nvtpm log ${path} lists those that are`,
  );

function ekOf(blobs: ReadonlyMap<BlobName, Uint8Array>): string | null {
  const permall = blobs.get('permall');
  const tpm = permall === undefined ? undefined : describeTpm(permall);
  const isUnknown = tpm === undefined || tpm instanceof StateError || isStoredOnly(tpm);
  return isUnknown || tpm.ek === undefined ? null : fingerprint(tpm.ek);
}
