/**
 * A change of the key: everything, kept states too, is written once more under another key, or under
 * none, as one commit; then what was there before is overwritten (scrub.ts).
 * @module
 */
import type { LockedNode } from '../../block/node.js';
import type { Unreachable } from '../../block/proof.js';
import { BlobCipher, type Key } from './cipher.js';
import { type CommitPlan, planCommit } from './commit.js';
import { NO_ENCRYPTION } from './layout.js';
import type { Opened } from './opened.js';
import { place } from './place.js';

/** What a change of the key left undone. */
export interface RekeyReport {
  /** Parts of the image that still may hold what was stored under the key of before, or in the clear. */
  readonly unreachable: readonly Unreachable[];
}

/**
 * Plans the commit that brings everything under `key`; writes nothing.
 * @throws NvramError CORRUPT, TOO_SMALL; RangeError for a key of another length
 */
export function planRekey(disk: LockedNode, opened: Opened, key: Key | undefined): CommitPlan {
  const { uuid, entries } = opened.directory;
  const entropy = (length: number): Uint8Array => opened.entropy(length);
  const fresh = key === undefined ? undefined : BlobCipher.fresh(key, uuid, entropy);
  const cipher = fresh?.cipher;
  try {
    const drafts = entries.map(entry => {
      const plain = opened.read(disk, entry);
      const draft = opened.draft(entry, plain, { cipher });
      if (draft.bytes !== plain) plain.fill(0);
      return draft;
    });
    const encryption = fresh?.encryption ?? NO_ENCRYPTION;
    const revised = { entries: drafts, encryption, cipher, unscrubbed: true };
    const plan = planCommit(disk, opened, revised);
    // The same once more, into the other slot, is the next step (scrub.ts). Better refused now.
    place(drafts, plan.directory, opened.state.slot, disk);
    return plan;
  } catch (error) {
    cipher?.wipe();
    throw error;
  }
}
