/** Actors of interleaving.test.ts. */
import { withLock } from '../../src/block/index.js';
import type { Stage } from '../../src/testing/index.js';

/** Writes two bytes under the lock, the second after the first. */
export function twoBytes({ disk, begin }: Stage): string {
  begin();
  withLock(disk, undefined, locked => {
    locked.write(0, Uint8Array.of(1));
    locked.write(1, Uint8Array.of(1));
  });
  return 'wrote';
}

/** Reads them under the lock. */
export function reader({ disk, begin }: Stage): string {
  begin();
  return withLock(disk, undefined, locked => `read ${[...locked.read(0, 2)].join('')}`);
}

/** Goes on after its death, in vain. */
export function stubborn({ disk, begin }: Stage): string {
  try {
    begin();
    withLock(disk, undefined, locked => locked.write(0, Uint8Array.of(1)));
  } catch {
    withLock(disk, undefined, locked => locked.write(1, Uint8Array.of(1)));
  }
  return 'wrote';
}
