/**
 * Closing a store in order, so that later damage cannot be mistaken for a torn store.
 * @module
 */
import type { LockedNode } from '../../block/node.js';
import { NvramError } from '../errors.js';
import { assess } from './assess.js';
import { acknowledge, type CommitPlan, planCommit, writeCommit } from './commit.js';
import type { AckState } from './layout.js';
import type { Opened } from './opened.js';

/**
 * Reads everything again, since the record is about to say that the store is undamaged. If the older
 * generation is damaged, plans a further commit that replaces it.
 * @throws NvramError CORRUPT
 */
export function planClose(disk: LockedNode, opened: Opened): CommitPlan | undefined {
  const found = assess(disk, opened);
  if (found.state === undefined) throw new NvramError('CORRUPT', disk.path, found.findings);
  if (found.intact) return undefined;
  return planCommit(disk, opened, { entries: opened.again(disk) });
}

/** Writes the final acknowledgement record, durably. @throws IoError */
export function writeClose(
  disk: LockedNode,
  opened: Opened,
  plan: CommitPlan | undefined,
  state: Exclude<AckState, 'open'>,
): void {
  if (plan !== undefined) writeCommit(disk, opened, plan);
  acknowledge(disk, opened, state);
  disk.flush();
}
