/**
 * Whether nothing can have been stored in a qcow2 image. A lost mapping makes every guest byte read as
 * zero, so this examines the image and not the disk.
 * @module
 */
import { isZeros } from '../zeros.js';
import { inflateCluster } from './compressed.js';
import type { Qcow2Disk } from './disk.js';
import { isPlaced, type Mapping } from './entries.js';
import { has, INCOMPATIBLE } from './header.js';
import { faultsIn } from './soundness.js';
import { isTagged } from './store-tag.js';
import { entriesOf } from './tables.js';
import { hex } from './text.js';
import type { HostOffset } from './units.js';
import type { View } from './view.js';

/**
 * What speaks against an image being empty, its backing file left aside; nothing if it is empty.
 * @throws IoError, ImageError
 */
export function tracesIn(disk: Qcow2Disk): readonly string[] {
  const { extensions, header } = disk.view;
  if (isTagged(extensions)) return ['its header says that a store was made in it'];
  if (has(header, INCOMPATIBLE.dirty)) return ['the image was not closed cleanly'];
  if (has(header, INCOMPATIBLE.corrupt)) return ['the image is marked corrupt'];
  const faults = faultsIn(disk);
  if (faults.length > 0) return faults;
  const data = findData(disk.view);
  return data === undefined ? [] : [data];
}

/** The first cluster of any layer that holds something other than zeros. */
function findData(view: View): string | undefined {
  // Many entries can share a cluster: each is read once.
  const seen = new Set<HostOffset>();
  for (const { mapping } of entriesOf(view)) {
    if (mapping.kind === 'unallocated' || seen.has(mapping.offset)) continue;
    seen.add(mapping.offset);
    if (!holdsZeros(view, mapping)) return `the cluster at ${hex(mapping.offset)} holds data`;
  }
  return undefined;
}

/** Reserved clusters are read too: a flipped bit makes one of a data cluster. */
function holdsZeros({ host, geometry, header }: View, mapping: Mapping): boolean {
  if (isPlaced(mapping)) return isZeros(host.read(mapping.offset, geometry.clusterSize));
  if (mapping.kind !== 'compressed') return true;
  const packed = host.read(mapping.offset, mapping.length);
  try {
    return isZeros(inflateCluster(header.compressionType, packed, geometry.clusterSize));
  } catch {
    return false;
  }
}
