/**
 * A commit: planned first, without a write, so that a refusal leaves nothing behind; then written.
 * What it writes lands in space that the last acknowledged state does not use, and there is one
 * barrier between writing and saying that it is stored:
 *
 *     lock · both slots are as we left them? · blob and directory · fdatasync · record · unlock
 *
 * A power cut after any of these leaves the old state or the new one; once the commit
 * has returned, the new one.
 * @module
 */
import type { LockedNode } from '../../block/node.js';
import { allocateArea } from '../../block/proof.js';
import { equal } from '../../wire/codec.js';
import { type BlobName, type Changes, demandBlobLength, demandBlobName } from '../store.js';
import type { BlobCipher } from './cipher.js';
import { isCurrent, pruned } from './history.js';
import { writeJoined } from './joined.js';
import {
  ACK_RECORD_OFFSET,
  type AckState,
  type Directory,
  type Entry,
  PAGE_BYTES,
  SLOT_OFFSETS,
  type SlotIndex,
} from './layout.js';
import type { Opened } from './opened.js';
import { encodeAckRecord, encodeDirectory, sha256 } from './pages.js';
import { type Draft, place, type Write } from './place.js';
import { headOf } from './slots.js';

/** What a commit changes: the entries, and other fields of the directory. */
export interface Revised extends Partial<Pick<Directory, 'epoch' | 'encryption' | 'unscrubbed'>> {
  readonly entries: readonly (Entry | Draft)[];
  /** The cipher afterwards, where it changes. */
  readonly cipher?: BlobCipher | undefined;
}

/** All that a commit writes. Valid until the next one is planned. */
export interface CommitPlan {
  readonly into: SlotIndex;
  readonly directory: Directory;
  readonly page: Uint8Array;
  readonly writes: readonly Write[];
  readonly cipher: BlobCipher | undefined;
  readonly blobs: readonly BlobName[];
}

/** Memory for the page of every plan: fresh pages cost more than the hashing. */
const scratchPage = new Uint8Array(PAGE_BYTES);

/**
 * Plans a commit; writes nothing.
 * @throws NvramError TOO_SMALL
 */
export function planCommit(disk: LockedNode, opened: Opened, revised: Revised): CommitPlan {
  const { directory: old, slot } = opened.state;
  const { entries: planned, cipher = opened.cipher, ...fields } = revised;
  const into: SlotIndex = slot === 0 ? 1 : 0;
  const generation = old.generation + 1;
  const { entries, areaLength, writes } = place(planned, old, into, disk);
  const isFirst = old.firstBlobGeneration === 0 && entries.length > 0;
  const firstBlobGeneration = isFirst ? generation : old.firstBlobGeneration;
  const directory: Directory = {
    ...old,
    generation,
    firstBlobGeneration,
    areaLength,
    ...fields,
    entries,
  };
  const authenticator = directory.encryption.kind === 0 ? undefined : cipher;
  const page = encodeDirectory(directory, authenticator, scratchPage);
  return {
    into,
    directory,
    page,
    writes: [[SLOT_OFFSETS[into], page], ...writes],
    cipher: authenticator,
    blobs: planned.flatMap(each => ('bytes' in each ? [each.name] : [])),
  };
}

/**
 * Plans the commit of `changes`, or nothing where they change nothing.
 * @throws NvramError INVALID_NAME, TOO_SMALL, CORRUPT
 */
export function planChanges(
  disk: LockedNode,
  opened: Opened,
  changes: Changes,
): CommitPlan | undefined {
  const digests = new Map<BlobName, Uint8Array>();
  for (const [name, bytes] of changes) {
    if (bytes === null) continue;
    demandBlobName(disk.path, name);
    demandBlobLength(disk.path, name, bytes.length, opened.directory.blobLimit);
  }
  const effective = new Map(
    [...changes].filter(([name, bytes]) => differs(disk, opened, name, bytes, digests)),
  );
  if (effective.size === 0) return undefined;
  return planCommit(disk, opened, { entries: changed(opened, effective, digests) });
}

/**
 * Plans the restoration of a kept state; the current state is kept in its turn.
 * @throws NvramError NOT_KEPT, CORRUPT, TOO_SMALL
 */
export function planRestore(
  disk: LockedNode,
  opened: Opened,
  generation: number,
): CommitPlan | undefined {
  const wanted = opened.kept(generation);
  const changes = new Map<BlobName, Uint8Array | null>();
  for (const { name } of opened.current) changes.set(name, null);
  for (const entry of wanted) changes.set(entry.name, opened.read(disk, entry));
  return planChanges(disk, opened, changes);
}

/**
 * Writes a commit, durably. From the barrier on it is the state of the store, also where a later step
 * fails. @throws IoError
 */
export function writeCommit(disk: LockedNode, opened: Opened, plan: CommitPlan): void {
  try {
    land(disk, opened, plan);
  } catch (error) {
    if (plan.cipher !== opened.cipher) plan.cipher?.wipe();
    throw error;
  }
  adopt(opened, plan);
  // It is stored, so the record may say so. The record becomes durable with the next barrier.
  acknowledge(disk, opened, 'open');
  const { generation, epoch } = plan.directory;
  opened.trace({ event: 'commit', generation, epoch, blobs: plan.blobs });
}

/** Up to and with the barrier. */
function land(disk: LockedNode, opened: Opened, { directory, writes }: CommitPlan): void {
  if (directory.areaLength > opened.directory.areaLength) {
    // Durable before a directory claims it: an unallocated part of an area counts as lost.
    allocateArea(disk, directory.areaLength);
  }
  writeJoined(writes, (offset, bytes) => disk.write(offset, bytes));
  disk.flush();
}

function adopt(opened: Opened, { directory, into, page, cipher }: CommitPlan): void {
  const heads = [...opened.state.heads] as [Uint8Array, Uint8Array];
  heads[into] = headOf(page);
  const older = opened.directory.entries;
  opened.state = { ...opened.state, slot: into, directory, heads, older };
  if (opened.cipher !== cipher) opened.cipher?.wipe();
  opened.cipher = cipher;
}

/** Writes the acknowledgement record for the present generation. @throws IoError */
export function acknowledge(disk: LockedNode, opened: Opened, state: AckState): void {
  const { uuid, generation, epoch } = opened.directory;
  const ackRecord = { state, uuid, generation, epoch };
  disk.write(ACK_RECORD_OFFSET, encodeAckRecord(ackRecord));
  opened.state = { ...opened.state, ackRecord };
}

/** Whether a change is one. Digests that are computed on the way are kept in `digests`. */
function differs(
  disk: LockedNode,
  opened: Opened,
  name: BlobName,
  bytes: Uint8Array | null,
  digests: Map<BlobName, Uint8Array>,
): boolean {
  const entry = opened.entry(name);
  if (entry === undefined || bytes === null) return (entry === undefined) !== (bytes === null);
  if (opened.cipher !== undefined) {
    const stored = opened.read(disk, entry);
    const isSame = equal(stored, bytes);
    stored.fill(0);
    return !isSame;
  }
  if (entry.length !== bytes.length) return true;
  const digest = sha256(bytes);
  digests.set(name, digest);
  return !equal(entry.digest, digest);
}

/** The entries after `changes`: what is replaced becomes history, as far as that is kept. */
function changed(
  opened: Opened,
  changes: Changes,
  digests: ReadonlyMap<BlobName, Uint8Array>,
): (Entry | Draft)[] {
  const { entries, historyLength, generation } = opened.directory;
  const kept = entries.map(entry =>
    isCurrent(entry) && changes.has(entry.name) ? { ...entry, lastGeneration: generation } : entry,
  );
  // The first blob keeps the first place: it is the one that lies beside the directories.
  const drafts = [...changes].flatMap(([name, bytes]) => {
    if (bytes === null) return [];
    const draft = opened.draft({ name, generation: generation + 1, lastGeneration: 0 }, bytes);
    return [{ ...draft, digest: digests.get(name) }];
  });
  return [...drafts, ...pruned(kept, historyLength)];
}
