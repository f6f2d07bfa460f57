/** A blob that shows lost and torn updates: a counter for each writer, and a digest over all of it. */
import { createHash } from 'node:crypto';
import type { LockedNode } from '../../src/block/index.js';

export const WRITERS = 8;
/** Exit codes of the contenders. */
export const LEFT = 0;
export const TORN = 3;

const BLOB_BYTES = 16_384;
const DIGEST_BYTES = 32;

const digest = (body: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update(body).digest());

export interface Blob {
  /** How often each writer has written. */
  readonly counts: readonly number[];
  readonly lastWriter: number;
  /** How often the writer changed. */
  readonly handovers: number;
}

export const FRESH: Blob = { counts: Array(WRITERS).fill(0), lastWriter: 0, handovers: 0 };

/** The blob after one more write of `writer`. */
export const written = ({ counts, lastWriter, handovers }: Blob, writer: number): Blob => ({
  counts: counts.map((count, i) => (i === writer ? count + 1 : count)),
  lastWriter: writer,
  handovers: handovers + (writer === lastWriter ? 0 : 1),
});

/** The blob, or undefined where it is torn. */
export function readBlob(disk: LockedNode): Blob | undefined {
  const bytes = disk.read(0, BLOB_BYTES);
  const body = bytes.subarray(DIGEST_BYTES);
  if (Buffer.compare(digest(body), bytes.subarray(0, DIGEST_BYTES)) !== 0) return undefined;
  const view = new DataView(body.buffer, body.byteOffset);
  const [lastWriter, handovers, ...counts] = Array.from({ length: 2 + WRITERS }, (_, i) =>
    view.getUint32(4 * i),
  );
  return { counts, lastWriter: lastWriter!, handovers: handovers! };
}

/** Writes it in pieces, the digest first, as a store of several extents would. */
export function writeBlob(disk: LockedNode, { counts, lastWriter, handovers }: Blob): void {
  const body = new Uint8Array(BLOB_BYTES - DIGEST_BYTES);
  // Every byte depends on the counters, so a mixture of two blobs never has a valid digest.
  body.fill(counts.reduce((sum, count) => sum + count, 0) % 256);
  const view = new DataView(body.buffer);
  [lastWriter, handovers, ...counts].forEach((value, i) => {
    view.setUint32(4 * i, value);
  });
  const half = body.length / 2;
  disk.write(0, digest(body));
  disk.write(DIGEST_BYTES, body.subarray(0, half));
  disk.write(DIGEST_BYTES + half, body.subarray(half));
}
