/**
 * Images that were damaged at random, where it hurts: header, tables, refcounts, snapshots. Each is
 * opened, read, checked, written to and repaired; only errors of this package may come of it.
 */
import {
  allocateArea,
  checkImage,
  eraseFreeClusters,
  type LockedNode,
  mappingFaults,
  openQcow2,
  proveEmpty,
  repairImage,
  writeStoreTag,
  writeZeroes,
} from '../../src/block/index.js';
import { NvtpmError } from '../../src/errors.js';
import { usingNode } from './disk.js';
import { MemoryNode } from './memory.js';
import { type Random, random } from './random.js';

/** A sound image, and where its metadata lies. */
export interface Victim {
  readonly name: string;
  readonly image: Uint8Array;
}

/** `victim` with one to four damages. The same seed gives the same damages. */
export function damaged({ image }: Victim, seed: number): Uint8Array {
  const next = random(seed);
  const bytes = new Uint8Array(image);
  const targets = metadataOf(image);
  for (let left = 1 + next(4); left > 0; left -= 1) {
    const target = targets[next(targets.length)]!;
    const at = target.offset + next(Math.max(1, Math.ceil(target.length / 8))) * 8;
    if (at + 8 > bytes.length) continue;
    spoil(next, new DataView(bytes.buffer), at);
  }
  if (next(40) === 0) return bytes.slice(0, next(bytes.length));
  return bytes;
}

/** Where the words of interest are. Headers come often: most of what can go wrong starts there. */
function metadataOf(image: Uint8Array): { offset: number; length: number }[] {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const number = (at: number): number => Number(view.getBigUint64(at));
  const clusterSize = 2 ** view.getUint32(20);
  const used = (offset: number, length: number) => ({ offset, length });
  const targets = [used(0, 112), used(0, 112), used(0, 0x250)];
  const table = number(48);
  const l1 = number(40);
  const l1Bytes = view.getUint32(36) * 8;
  targets.push(used(l1, l1Bytes), used(table, 24), used(number(table), 128));
  for (let at = l1; at < l1 + l1Bytes && at + 8 <= image.length; at += 8) {
    const l2 = Number(view.getBigUint64(at) & 0xff_ffff_ffff_fe00n);
    if (l2 !== 0) targets.push(used(l2, Math.min(clusterSize, 512)));
  }
  if (view.getUint32(60) > 0) targets.push(used(number(64), 96), used(number(64), 48));
  return targets;
}

function spoil(next: Random, view: DataView, at: number): void {
  const clusterSize = 2 ** 12;
  switch (next(8)) {
    case 0:
      view.setUint8(at + next(8), next(256));
      break;
    case 1:
      view.setUint8(at + next(8), view.getUint8(at + next(8)) ^ (1 << next(8)));
      break;
    case 2:
      view.setBigUint64(at, 0n);
      break;
    case 3:
      view.setBigUint64(at, 0xffff_ffff_ffff_ffffn >> BigInt(next(64)));
      break;
    case 4:
      view.setUint32(at + 4 * next(2), [0, 1, 2, 0xffff_ffff, 0x7fff_ffff, 0x1_0001][next(6)]!);
      break;
    case 5:
      // Another structure's place, with flags.
      view.setBigUint64(
        at,
        (BigInt(next(4)) << 62n) | BigInt(next(200) * clusterSize + [0, 0, 1, 512][next(4)]!),
      );
      break;
    case 6:
      view.setUint16(at + 2 * next(4), next(4));
      break;
    default:
      view.setBigUint64(at, (BigInt(next(2 ** 30)) << 34n) | BigInt(next(2 ** 30)));
  }
}

/** The result of a check, as an exit code of qemu-img check. */
export type Verdict = 0 | 1 | 2 | 3;

export function ourVerdict(image: Uint8Array): Verdict {
  const node = openQcow2(new MemoryNode(image, true), { forRepair: true });
  const { corruptions, leaks, checkErrors } = usingNode(node, checkImage);
  return checkErrors > 0 ? 1 : corruptions > 0 ? 2 : leaks > 0 ? 3 : 0;
}

export interface Survived {
  readonly verdict: Verdict;
  /** How many uses ended with an error of the package. */
  readonly refusals: number;
}

/** Uses an image in every way there is. @throws what is not an error of the package: a bug */
export function use(image: Uint8Array): Survived {
  let refusals = 0;
  let verdict: Verdict = 1;
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof NvtpmError)) throw error;
      refusals += 1;
    }
  };
  const copy = (): MemoryNode =>
    new MemoryNode(new Uint8Array(image), false, image.length + 2 ** 23);
  attempt(() => usingNode(openQcow2(new MemoryNode(image, true)), readSome));
  attempt(() => {
    verdict = ourVerdict(image);
  });
  attempt(() =>
    usingNode(openQcow2(copy()), disk => {
      disk.write(0, new Uint8Array(5000).fill(1));
      disk.write(Math.max(0, disk.length - 70_000), new Uint8Array(9000).fill(2));
      disk.flush();
      writeZeroes(disk, 4096, 8192);
    }),
  );
  attempt(() => usingNode(openQcow2(copy()), disk => disk.truncate(disk.length + 2 ** 20)));
  attempt(() =>
    usingNode(openQcow2(copy(), { forRepair: true }), disk => void repairImage(disk, 'all')),
  );
  attempt(() =>
    usingNode(openQcow2(copy()), disk => {
      proveEmpty(disk);
      mappingFaults(disk, disk.length);
      writeStoreTag(disk, { uuid: new Uint8Array(16).fill(7), kind: 'test' });
      allocateArea(disk, Math.min(disk.length, 100_000));
      eraseFreeClusters(disk);
      mappingFaults(disk, disk.length);
    }),
  );
  return { verdict, refusals };
}

function readSome(disk: LockedNode): void {
  const { length } = disk;
  for (let i = 0; i < 8; i += 1) {
    const at = Math.floor((length / 8) * i);
    disk.read(at, Math.min(4096, length - at));
  }
}
