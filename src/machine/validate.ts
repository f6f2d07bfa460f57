/**
 * The look of a migration's destination at its image while the source is still active: the store is read
 * and validated, and its state loaded into an engine. Nothing is written. The guard of the image stays
 * with the source; only the cycle lock is taken.
 * @module
 */
import { withLockAsync } from '../block/lock.js';
import type { AsyncLockWait } from '../lock/lock.js';
import { safeTrace } from '../trace.js';
import { Lease } from './lease.js';
import { loaded } from './loaded.js';
import type { InstanceOptions } from './parts.js';
import { Port } from './port.js';
import { opening } from './storage.js';

/** @throws what Instance.coldStart throws */
export function validateStored(options: InstanceOptions): void {
  using _lease = new Lease(options.image, options.imageLock ?? 'auto', 'incoming');
  look(options);
}

/** The same, without blocking while the image is locked. @throws also LockError ABORTED */
export async function validateWhenFree(
  options: InstanceOptions,
  wait: AsyncLockWait,
): Promise<void> {
  const { image, imageLock = 'auto' } = options;
  using _lease = new Lease(image, imageLock, 'incoming');
  if (image === undefined) look(options);
  else await withLockAsync(image, wait, () => look(options));
}

function look(options: InstanceOptions): void {
  opening(options, options.expectExisting ? 'refuse' : 'format', opened => {
    const { path, pristine } = opened;
    try {
      if (pristine) return;
      const port = new Port(opened, { path, trace: safeTrace(options.trace), failed: () => {} });
      loaded(options, path, port, engine => engine.init(port)).close();
    } finally {
      opened.discard();
    }
  });
}
