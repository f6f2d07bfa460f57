/**
 * What the first cluster and the snapshot table of an image say: data that all parts of the driver
 * read, and that only the header writer changes.
 * @module
 */
import { equal } from '../../wire/codec.js';
import { type Extension, featureNameOf, hasEndMark, readExtensions } from './extensions.js';
import {
  demandSupport,
  geometryOf,
  type Header,
  isOverlay,
  type Purpose,
  readHeader,
} from './header.js';
import type { HostFile } from './host.js';
import { readSnapshots, type SnapshotTable } from './snapshots.js';
import { type Geometry, hostOffset } from './units.js';

/** The header with its extensions and names is shorter in most images; a cluster may have 2 MiB. */
const START_BYTES = 4096;

/** The first cluster, parsed. */
export interface FirstCluster {
  /** As many of its bytes as are in use. */
  readonly bytes: Uint8Array;
  readonly header: Header;
  readonly geometry: Geometry;
  readonly extensions: readonly Extension[];
  /** The backing file as the image has it. */
  readonly backingName: string | undefined;
}

/** An image as it is while its lock is held. */
export interface View extends FirstCluster {
  readonly path: string;
  readonly host: HostFile;
  readonly snapshots: SnapshotTable;
}

/**
 * Reads and checks the first cluster.
 * @throws ImageError NOT_QCOW2, MALFORMED, UNSUPPORTED, DAMAGED; IoError
 */
export function readFirstCluster(
  path: string,
  host: Pick<HostFile, 'length' | 'read'>,
  purpose: Purpose,
): FirstCluster {
  const start = host.read(hostOffset(0), Math.min(START_BYTES, host.length));
  const header = readHeader(path, start);
  const geometry = geometryOf(header);
  const { headerLength, backingFileOffset: name, backingFileSize } = header;
  const nameEnd = name + backingFileSize;
  const isInStart = name === 0 ? hasEndMark(start.subarray(headerLength)) : nameEnd <= start.length;
  const isWhole = start.length >= geometry.clusterSize;
  const cluster = isInStart || isWhole ? start : host.read(hostOffset(0), geometry.clusterSize);
  const area = cluster.subarray(headerLength, name || geometry.clusterSize);
  const { extensions, length } = readExtensions(path, area);
  demandSupport(path, header, purpose, bit => featureNameOf(extensions, 'incompatible', bit));
  return {
    bytes: cluster.slice(0, Math.max(headerLength + length, name === 0 ? 0 : nameEnd)),
    header,
    geometry,
    extensions,
    backingName: isOverlay(header)
      ? new TextDecoder().decode(cluster.subarray(name, nameEnd))
      : undefined,
  };
}

/**
 * Reads an image whose lock was just acquired.
 * @param known an earlier look at it: what is in the file still is not parsed again
 * @throws ImageError NOT_QCOW2, MALFORMED, UNSUPPORTED, DAMAGED; IoError
 */
export function readView(
  path: string,
  host: HostFile,
  purpose: Purpose,
  known: FirstCluster | undefined,
): View {
  const isKnown =
    known !== undefined && equal(host.read(hostOffset(0), known.bytes.length), known.bytes);
  const first = isKnown ? known : readFirstCluster(path, host, purpose);
  // The table can have changed in place, with a header that says the same as before.
  return { path, host, ...first, snapshots: readSnapshots(path, host, first.header) };
}
