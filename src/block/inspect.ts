/**
 * What an image is, what is wrong with it, and its repair.
 * @module
 */
import { ImageError, type LockedNode } from './node.js';
import type { CheckResult } from './qcow2/check.js';
import type { Qcow2Disk } from './qcow2/disk.js';
import { Qcow2Node } from './qcow2/node.js';
import type { RepairResult, Repairs } from './qcow2/repair.js';

export type { CheckResult, RepairResult, Repairs };

/** What an image is, for a user. */
export interface ImageInfo {
  readonly format: string;
  readonly version: number | undefined;
  readonly clusterSize: number | undefined;
  readonly virtualSize: number;
  /** The backing file as the image has it. */
  readonly backing: string | undefined;
  readonly snapshots: readonly {
    readonly id: string;
    readonly name: string;
    /** When it was made, in seconds since 1970. */
    readonly seconds: number;
    readonly vmStateSize: number;
  }[];
}

/** What the header and the snapshot table of an image say. */
export function imageInfo(disk: LockedNode): ImageInfo {
  const view = Qcow2Node.diskOf(disk)?.view;
  return {
    format: disk.node.driver,
    version: view?.header.version,
    clusterSize: view?.geometry.clusterSize,
    virtualSize: disk.length,
    backing: view?.backingName,
    snapshots: (view?.snapshots.snapshots ?? []).map(({ id, name, seconds, vmStateSize }) => ({
      id,
      name,
      seconds,
      vmStateSize,
    })),
  };
}

/**
 * What is wrong with the image: the counts are those of `qemu-img check`.
 * @throws ImageError NOT_QCOW2 for a node without such metadata; IoError
 */
export function checkImage(disk: LockedNode): CheckResult {
  return demandQcow2(disk).check();
}

/**
 * Repairs leaks, or everything about refcounts that can be told with certainty, in an image that was
 * opened `forRepair`.
 * @throws ImageError NOT_QCOW2, READONLY; IoError
 */
export function repairImage(disk: LockedNode, what: Repairs): RepairResult {
  const image = demandQcow2(disk);
  if (disk.node.readOnly) throw new ImageError('READONLY', disk.path, ['it was opened read-only']);
  return image.repair(what);
}

function demandQcow2(disk: LockedNode): Qcow2Disk {
  const image = Qcow2Node.diskOf(disk);
  if (image !== undefined) return image;
  throw new ImageError('NOT_QCOW2', disk.path, ['only a qcow2 image can be checked']);
}
