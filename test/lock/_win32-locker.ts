/**
 * A Windows process that locks and uses files on command: `ORDERS ANSWERS FOLDER`. An order is a
 * verb and the name of an open file, such as `open a image`, then `exclusive a`.
 */
import { openSync } from 'node:fs';
import { join } from 'node:path';
import {
  type BlockNode,
  bdrv_lock,
  bdrv_unlock,
  type LockedNode,
  openImage,
  takeGuard,
} from '../../src/block/index.js';
import { closeFile, type LockType, lockDriverFor, WHOLE_FILE } from '../../src/lock/index.js';
import { serveOrders } from '../_orders.js';
import { readBlob, writeBlob, written } from './_blob.js';

const [orders, answers, folder] = process.argv.slice(2);
const files = new Map<string, number>();
const images = new Map<string, BlockNode>();
/** The locks of each image, innermost last. */
const locked = new Map<string, LockedNode[]>();
const locksOf = (name: string) => {
  const fd = files.get(name)!;
  return { fd, driver: lockDriverFor(fd) };
};
const take = (name: string, type: LockType, range = WHOLE_FILE): string => {
  const { fd, driver } = locksOf(name);
  return driver.tryLock(fd, type, range) ? 'granted' : 'denied';
};

type Verb = (name: string, argument: string, more: string) => string;
const VERBS: Readonly<Record<string, Verb>> = {
  flavour: name => locksOf(name).driver.flavour,
  open: (name, file) => {
    files.set(name, openSync(join(folder!, file), 'r+'));
    return 'open';
  },
  close: name => {
    closeFile(files.get(name)!);
    return 'closed';
  },
  exclusive: name => take(name, 'exclusive'),
  shared: name => take(name, 'shared'),
  range: (name, start, length) =>
    take(name, 'exclusive', { start: Number(start), length: Number(length) }),
  unlock: name => {
    const { fd, driver } = locksOf(name);
    driver.unlock(fd, WHOLE_FILE);
    return 'granted';
  },
  holder: name => {
    const { fd, driver } = locksOf(name);
    return driver.holder(fd, 'exclusive', WHOLE_FILE)?.type ?? 'none';
  },
  image: (name, file) => {
    images.set(name, openImage(join(folder!, file)));
    return 'open';
  },
  bdrv_lock: name => {
    const disk = bdrv_lock(images.get(name)!, { timeoutMs: 20 });
    locked.set(name, [...(locked.get(name) ?? []), disk]);
    return 'locked';
  },
  bdrv_unlock: name => {
    bdrv_unlock(locked.get(name)!.pop()!);
    return 'unlocked';
  },
  'bdrv_unlock-twice': name => {
    const disk = locked.get(name)!.pop()!;
    bdrv_unlock(disk);
    bdrv_unlock(disk);
    return 'unlocked twice';
  },
  guard: (name, mode) => {
    const guard = takeGuard(images.get(name)!, 'writer', mode as 'on' | 'auto');
    return `bytes ${guard.bytes.length}`;
  },
  /** Read, validate, write, `rounds` times, each under bdrv_lock. */
  cycle: (name, rounds, writer) => {
    const node = images.get(name)!;
    for (let round = 0; round < Number(rounds); round += 1) {
      const disk = bdrv_lock(node, { timeoutMs: 60_000 });
      const blob = readBlob(disk);
      if (blob === undefined) return 'torn';
      writeBlob(disk, written(blob, Number(writer)));
      bdrv_unlock(disk);
    }
    return 'done';
  },
  end: () => 'end',
};

serveOrders(orders!, answers!, order => {
  const [verb, name, argument, more] = order.split(' ');
  return VERBS[verb!]!(name!, argument!, more!);
});
