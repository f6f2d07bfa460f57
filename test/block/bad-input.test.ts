/**
 * Goal: a damaged image gets the same decision from us as from QEMU.
 * Method: each row of lab/block/damages.ts damages a fresh image in one way, and QEMU and we are put
 * before copies of it: opened read-only, read, written to, checked, repaired.
 * @long
 */
import { copyFileSync, readFileSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import {
  type Access,
  copyOf,
  type Decision,
  isMarked,
  qemuDecides,
  qemuVersion,
  ROWS,
  recording,
  repaired,
  titleOf,
} from '../../lab/block/damages.js';
import { using } from '../../lab/block/disk.js';
import { scratch } from '../../lab/files.js';
import {
  type BlockNode,
  checkImage,
  ImageError,
  type LockedNode,
  openImage,
  repairImage,
} from '../../src/block/index.js';
import { NvtpmError } from '../../src/errors.js';
import { peerTest } from '../_peers.js';

function weRepair(repairs: 'leaks' | 'all', path: string): void {
  try {
    using(path, disk => repairImage(disk, repairs), { forRepair: true });
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
  }
}

/** Runs an access of ours. Only errors that are thrown on purpose count as refusals. */
function ourAccess(open: () => BlockNode, access: (disk: LockedNode) => void): Access {
  let node: BlockNode | undefined;
  let isOpen = false;
  try {
    node = open();
    const disk = node.lock();
    // What QEMU reads on opening is read with the first use under the lock.
    isOpen = disk.length >= 0;
    access(disk);
    disk.release();
    return 'done';
  } catch (error) {
    if (!(error instanceof NvtpmError)) throw error;
    return isOpen ? 'failed' : 'refused at open';
  } finally {
    node?.close();
  }
}

function weDecide(t: ExecutionContext, path: string): Decision {
  const copy = `${path}.ours`;
  copyFileSync(path, copy);
  const read = ourAccess(
    () => openImage(copy, { readOnly: true }),
    disk => void disk.read(0, 512),
  );
  const counts = ourCheck(copy);
  t.deepEqual(readFileSync(copy), readFileSync(path), 'reading and checking change nothing');
  const write = ourAccess(
    () => openImage(copy),
    disk => {
      disk.write(0, new Uint8Array(512).fill(1));
      disk.flush();
    },
  );
  const untouched = readFileSync(copy).equals(readFileSync(path));
  const marked = isMarked(copy);
  return { read, write, marked, untouched, ...counts, ...repaired(path, weRepair) };
}

function ourCheck(path: string): Pick<Decision, 'check' | 'corruptions' | 'leaks'> {
  try {
    const options = { readOnly: true, forRepair: true };
    const { corruptions, leaks, checkErrors } = using(path, checkImage, options);
    const check = checkErrors > 0 ? 1 : corruptions > 0 ? 2 : leaks > 0 ? 3 : 0;
    return { check, corruptions, leaks };
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    return { check: 1, corruptions: 0, leaks: 0 };
  }
}

// What this very QEMU decided was recorded: it is asked anew for every tenth row, and another QEMU for all.
const recorded = recording();
const isRecorded = recorded.source === qemuVersion();

ROWS.forEach((row, at) => {
  peerTest(titleOf(row), ['qemu-img', 'qemu-io'], t => {
    const path = copyOf(row.base, scratch(t));
    row.damage(path);
    const known = isRecorded ? recorded.decisions[titleOf(row)] : undefined;
    const theirs = known === undefined || at % 10 === 0 ? qemuDecides(path) : known;
    if (known !== undefined) t.deepEqual(theirs, known, 'the recording');
    const { why, ...ours } = row.differs ?? { why: '' };
    t.deepEqual(weDecide(t, path), { ...theirs, ...ours }, why);
  });
});
