/**
 * A Windows process that locks and uses files when told to: `ORDERS ANSWERS FOLDER`. An order is a
 * verb and the name of an open file, such as `open a image`, then `exclusive a`.
 */
import { join } from 'node:path';
import {
  type BlockNode,
  bdrv_lock,
  bdrv_unlock,
  openFile,
  openImage,
  takeGuard,
} from '../../src/block/index.js';
import { chooseLockDriver, type LockType, WHOLE_FILE } from '../../src/lock/index.js';
import { serveOrders } from '../_orders.js';
import { readBlob, writeBlob, written } from './_blob.js';

const [orders, answers, folder] = process.argv.slice(2);
const files = new Map<string, ReturnType<typeof openFile>>();
const images = new Map<string, BlockNode>();
const driver = chooseLockDriver();
const take = (name: string, type: LockType, range = WHOLE_FILE): string =>
  driver.tryLock(files.get(name)!.locks.fd, type, range) ? 'granted' : 'denied';

type Verb = (name: string, argument: string, more: string) => string;
const VERBS: Readonly<Record<string, Verb>> = {
  flavour: () => chooseLockDriver().flavour,
  open: (name, file) => {
    files.set(name, openFile(join(folder!, file)));
    return 'open';
  },
  close: name => {
    files.get(name)!.close();
    return 'closed';
  },
  exclusive: name => take(name, 'exclusive'),
  shared: name => take(name, 'shared'),
  range: (name, start, length) =>
    take(name, 'exclusive', { start: Number(start), length: Number(length) }),
  unlock: name => {
    driver.unlock(files.get(name)!.locks.fd, WHOLE_FILE);
    return 'granted';
  },
  holder: name =>
    driver.holder(files.get(name)!.locks.fd, 'exclusive', WHOLE_FILE)?.type ?? 'nobody',
  image: (name, file) => {
    images.set(name, openImage(join(folder!, file)));
    return 'open';
  },
  bdrv_lock: name => {
    bdrv_lock(images.get(name)!, { timeoutMs: 20 });
    return 'locked';
  },
  bdrv_unlock: name => {
    bdrv_unlock(images.get(name)!);
    return 'unlocked';
  },
  guard: (name, mode) => {
    const guard = takeGuard(images.get(name)!, 'writer', mode as 'on' | 'auto');
    return `bytes ${guard.bytes.length}`;
  },
  /** Read, validate, write, as often as told, each under bdrv_lock. */
  cycle: (name, rounds, writer) => {
    const node = images.get(name)!;
    for (let round = 0; round < Number(rounds); round += 1) {
      bdrv_lock(node, { timeoutMs: 60_000 });
      const blob = readBlob(node);
      if (blob === undefined) return 'torn';
      writeBlob(node, written(blob, Number(writer)));
      bdrv_unlock(node);
    }
    return 'done';
  },
  end: () => 'end',
};

serveOrders(orders!, answers!, order => {
  const [verb, name, argument, more] = order.split(' ');
  return VERBS[verb!]!(name!, argument!, more!);
});
