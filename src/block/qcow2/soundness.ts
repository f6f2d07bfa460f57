/**
 * Whether an image is sound: clean to a check, and not cut short.
 * @module
 */
import type { CheckResult } from './check.js';
import type { Qcow2Disk } from './disk.js';
import { offsetOf } from './entries.js';
import { widthOf } from './refcount-width.js';
import { type ClusterIndex, clusterIndex, plus } from './units.js';
import { viewOf } from './words.js';

const MOST_PROBLEMS = 3;

/**
 * What is wrong with an image, as sentences.
 * @throws IoError
 */
export function faultsIn(disk: Qcow2Disk): string[] {
  const faults = faultsOf(disk.check());
  const missing = findMissing(disk);
  if (missing === undefined) return faults;
  return [
    ...faults,
    `the file was cut short: cluster ${missing}, which is in use, is past its end`,
  ];
}

/** The findings of a check as sentences. */
export function faultsOf({ corruptions, leaks, checkErrors, problems }: CheckResult): string[] {
  if (corruptions + leaks + checkErrors === 0) return [];
  const counts = `corruptions: ${corruptions}, leaked clusters: ${leaks}, check errors: ${checkErrors}`;
  return [`the image does not check clean (${counts})`, ...problems.slice(0, MOST_PROBLEMS)];
}

/**
 * A cluster past the end of the file that is counted as in use. A check leaves these alone, since QEMU's
 * does; but where the tables were cut off with the rest, they are all that is left of it.
 */
function findMissing({ view }: Qcow2Disk): ClusterIndex | undefined {
  const { geometry, header, host } = view;
  const { refcountsPerBlock, clusterSize, refcountOrder } = geometry;
  const { refcountTableOffset, refcountTableClusters } = header;
  const end = geometry.clustersFor(host.length);
  const { get } = widthOf(refcountOrder);
  for (const [i, word] of host.entries(
    refcountTableOffset,
    geometry.bytesOf(refcountTableClusters),
  )) {
    const first = clusterIndex(i * refcountsPerBlock);
    const block = offsetOf(word);
    if (first + refcountsPerBlock <= end || geometry.into(block) !== 0) continue;
    if (block >= host.length) continue;
    const counts = viewOf(host.read(block, clusterSize));
    for (let k = Math.max(0, end - first); k < refcountsPerBlock; k += 1) {
      if (get(counts, k) !== 0) return plus(first, k);
    }
  }
  return undefined;
}
