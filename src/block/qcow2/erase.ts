/**
 * Erases what an image file still holds of guest bytes that were overwritten: in free clusters, in
 * clusters that are only reserved, and in the parts of used clusters that no guest byte lies in.
 * @module
 */
import { ImageError } from '../node.js';
import { isZeros } from '../zeros.js';
import type { Qcow2Disk } from './disk.js';
import type { Mapping } from './entries.js';
import { Mappings } from './mapping.js';
import { faultsOf } from './soundness.js';
import { entriesOf } from './tables.js';
import { type ClusterIndex, clusterIndex, guestOffset, type HostOffset, plus } from './units.js';

const STEP_BYTES = 2 ** 20;

/**
 * Writes zeros over all bytes of the file that nothing refers to, durably. Leaked clusters are freed
 * first. Clusters that an internal snapshot refers to are in use.
 * @throws ImageError DAMAGED where free clusters cannot be told from used ones; READONLY; IoError
 */
export function eraseUnused(disk: Qcow2Disk): void {
  disk.prepareToWrite();
  demandClean(disk);
  eraseFreeClusters(disk);
  eraseReserved(disk);
  eraseBesideCompressed(disk);
  erasePastTheDisk(disk);
  disk.flush();
}

function demandClean(disk: Qcow2Disk): void {
  let result = disk.check();
  if (result.leaks > 0 && result.corruptions + result.checkErrors === 0) {
    result = disk.repair('leaks');
  }
  const faults = faultsOf(result);
  if (faults.length === 0) return;
  throw new ImageError(
    'DAMAGED',
    disk.view.path,
    ['old data cannot be erased, since free clusters cannot be told from used ones', ...faults],
    'repair the image first',
  );
}

/** Zeros over a part of the file, where it holds anything else. */
function erase({ view: { host } }: Qcow2Disk, offset: HostOffset, length: number): void {
  const end = Math.min(host.length, offset + length);
  for (let at = offset; at < end; at = plus(at, STEP_BYTES)) {
    const step = Math.min(STEP_BYTES, end - at);
    if (!isZeros(host.read(at, step))) host.write(at, new Uint8Array(step));
  }
}

function eraseFreeClusters(disk: Qcow2Disk): void {
  const { view, refcounts } = disk;
  const { geometry, host } = view;
  const clusters = geometry.clustersFor(host.length);
  for (let at = 0; at < clusters; at += 1) {
    const first = clusterIndex(at);
    while (at < clusters && refcounts.get(clusterIndex(at)) === 0) at += 1;
    erase(disk, geometry.startOf(first), geometry.bytesOf(at - first));
  }
}

/** Clusters that are reserved for guest bytes that read as zeros, and that nothing else refers to. */
function eraseReserved(disk: Qcow2Disk): void {
  const { view, refcounts } = disk;
  const { geometry } = view;
  for (const { mapping } of entriesOf(view)) {
    if (mapping.kind !== 'zero' || mapping.offset === 0) continue;
    if (refcounts.get(geometry.clusterAt(mapping.offset)) !== 1) continue;
    erase(disk, mapping.offset, geometry.clusterSize);
  }
}

interface Packed {
  references: number;
  /** What compressed data takes of the cluster: from, to. */
  readonly used: (readonly [HostOffset, HostOffset])[];
}

/** The gaps between compressed data, in clusters that hold nothing else. */
function eraseBesideCompressed(disk: Qcow2Disk): void {
  const { view, refcounts } = disk;
  const { geometry } = view;
  for (const [cluster, { references, used }] of compressedIn(disk)) {
    if (refcounts.get(cluster) !== references) continue;
    let at = geometry.startOf(cluster);
    const end = geometry.startOf(plus(cluster, 1));
    for (const [from, to] of [...used.sort(([a], [b]) => a - b), [end, end] as const]) {
      if (from > at) erase(disk, at, from - at);
      if (to > at) at = to;
    }
  }
}

function compressedIn({ view }: Qcow2Disk): Map<ClusterIndex, Packed> {
  const found = new Map<ClusterIndex, Packed>();
  for (const { mapping, references } of entriesOf(view)) {
    if (mapping.kind === 'compressed') add(found, view.geometry, mapping, references);
  }
  return found;
}

function add(
  found: Map<ClusterIndex, Packed>,
  geometry: Qcow2Disk['view']['geometry'],
  { offset, length }: Mapping & { kind: 'compressed' },
  references: number,
): void {
  const { first, count } = geometry.runOf(offset, length);
  for (let i = 0; i < count; i += 1) {
    const cluster = plus(first, i);
    const packed: Packed = found.get(cluster) ?? { references: 0, used: [] };
    packed.references += references;
    packed.used.push([offset, plus(offset, length)]);
    found.set(cluster, packed);
  }
}

/** The part of the last cluster that lies past the end of the disk. */
function erasePastTheDisk(disk: Qcow2Disk): void {
  const { view, cache } = disk;
  const { geometry, header } = view;
  const used = geometry.into(header.size);
  if (used === 0) return;
  const last = geometry.guestClusterAt(guestOffset(header.size));
  const mapping = new Mappings(view, cache, disk).lookup(last);
  if (mapping.kind !== 'data' || !mapping.copied) return;
  erase(disk, plus(mapping.offset, used), geometry.clusterSize - used);
}
