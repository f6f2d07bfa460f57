/**
 * Compressed clusters: QEMU docs/interop/qcow2, "Compressed clusters". The data ends somewhere in
 * its last sector; what follows there is of no meaning.
 * @module
 */
import { constants, inflateRawSync } from 'node:zlib';
import { Decompress } from 'fzstd';

const DEFLATE = 0;
/** zstd frames name a window that a decoder has to hold; RFC 8878 §3.1.1.1.2 asks for 8 MiB. */
const LARGEST_WINDOW = 8 * 2 ** 20;

/**
 * The cluster that was compressed to the bytes that `packed` starts with.
 * @throws Error where they are no such cluster, or would grow beyond one
 */
export function inflateCluster(type: number, packed: Uint8Array, clusterSize: number): Uint8Array {
  const cluster = type === DEFLATE ? inflate(packed, clusterSize) : unzstd(packed, clusterSize);
  if (cluster.length === clusterSize) return cluster;
  throw new Error(`it unpacks to ${cluster.length} bytes and not to ${clusterSize}`);
}

function inflate(packed: Uint8Array, clusterSize: number): Uint8Array {
  const cluster = inflateRawSync(packed, {
    maxOutputLength: clusterSize,
    // A stream that is cut off behind its last byte of use is whole enough.
    finishFlush: constants.Z_SYNC_FLUSH,
  });
  return new Uint8Array(cluster.buffer, cluster.byteOffset, cluster.byteLength);
}

function unzstd(packed: Uint8Array, clusterSize: number): Uint8Array {
  const frame = packed.subarray(0, frameLength(packed));
  const cluster = new Uint8Array(clusterSize);
  let filled = 0;
  const decoder = new Decompress(chunk => {
    if (filled + chunk.length > clusterSize) throw new Error('it unpacks to more than a cluster');
    cluster.set(chunk, filled);
    filled += chunk.length;
  });
  decoder.push(frame, true);
  return cluster.subarray(0, filled);
}

/**
 * Where the zstd frame ends that `packed` starts with: RFC 8878 §3.1.1. The decoder takes whatever
 * follows for the next frame, and a claimed window for memory to set aside.
 */
function frameLength(packed: Uint8Array): number {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  if (view.getUint32(0, true) !== 0xfd2f_b528) throw new Error('it is no zstd frame');
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const checksum = (descriptor & 4) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3]!;
  const sizeField = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  let at = 5;
  if (!singleSegment) {
    const window = view.getUint8(at);
    const base = 2 ** (10 + (window >> 3));
    if (base + (base / 8) * (window & 7) > LARGEST_WINDOW)
      throw new Error('its window is too large');
    at += 1;
  }
  at += dictionary;
  // With a single segment the content's size is the window.
  if (singleSegment && sizeField >= 4 && view.getUint32(at, true) > LARGEST_WINDOW) {
    throw new Error('its window is too large');
  }
  at += sizeField;
  for (let last = false; !last; ) {
    const head = view.getUint16(at, true) + view.getUint8(at + 2) * 2 ** 16;
    const isRle = ((head >> 1) & 3) === 1;
    last = (head & 1) === 1;
    at += 3 + (isRle ? 1 : head >> 3);
  }
  return at + (checksum ? 4 : 0);
}
