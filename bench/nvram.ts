/**
 * What a durable store costs: against a bare pwrite and fdatasync of the same bytes, and against how
 * much else there is in the store and on the disk.
 * @module
 */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type BlockNode, createQcow2, openImage, withLock } from '../src/block/index.js';
import {
  type ActiveStore,
  type FormatOptions,
  formatStore,
  openStore,
} from '../src/nvram/index.js';
import { systemEntropy as entropy } from '../src/system.js';
import { type Case, table, takeTurns } from './measure.js';

const KIB = 1024;
const MIB = 1024 * KIB;

/** pwrite and fdatasync of `length` bytes over and over at the start of a file of its own. */
export function bare(folder: string, length: number, note = ''): Case & { close: () => void } {
  const fd = openSync(join(folder, `bare-${length}${note}`), 'w', 0o600);
  const bytes = Buffer.alloc(length);
  writeSync(fd, Buffer.alloc(128 * KIB), 0, 128 * KIB, 0);
  fdatasyncSync(fd);
  return {
    name: `bare pwrite + fdatasync, ${length} bytes${note}`,
    run: round => {
      bytes.writeUInt32BE(round);
      writeSync(fd, bytes, 0, length, 0);
      fdatasyncSync(fd);
    },
    close: () => closeSync(fd),
  };
}

interface StoreCase extends Case {
  readonly image: BlockNode;
  readonly store: ActiveStore;
}

/** Stores a blob of `length` bytes, each time another, beside `others` blobs of 1 KiB. */
function storing(
  folder: string,
  name: string,
  length: number,
  {
    others = 0,
    size = 64 * MIB,
    ...format
  }: Partial<FormatOptions> & { others?: number; size?: number } = {},
): StoreCase {
  const path = join(folder, `${name}.qcow2`);
  createQcow2(path, { size });
  const image = openImage(path, { readOnly: false });
  const store = withLock(image, undefined, disk => {
    formatStore(disk, { entropy, ...format });
    return openStore(disk, { entropy }).activate();
  });
  const blob = new Uint8Array(length);
  const view = new DataView(blob.buffer);
  store.store('permall', blob);
  for (let i = 0; i < others; i += 1) store.store(`other-${i}`, new Uint8Array(KIB).fill(1));
  return {
    name,
    image,
    store,
    run: round => {
      view.setUint32(0, round + 1);
      store.store('permall', blob);
    },
  };
}

function compare(title: string, cases: readonly StoreCase[], rounds: number): string {
  const text = table(title, takeTurns(cases, rounds));
  for (const { store, image } of cases) {
    store.close();
    image.close();
  }
  return text;
}

export function benchNvram(folder: string, rounds: number): string[] {
  const sizes = [1, 4, 40].map(kib => {
    const floor = bare(folder, kib * KIB);
    const ours = storing(folder, `store of ${kib} KiB`, kib * KIB);
    const text = table(`A durable store of ${kib} KiB`, takeTurns([floor, ours], rounds));
    floor.close();
    ours.store.close();
    ours.image.close();
    return text;
  });
  return [
    ...sizes,
    compare(
      'Beside how many other blobs',
      [0, 10, 40].map(others =>
        storing(folder, `2 KiB beside ${others} others`, 2 * KIB, { others }),
      ),
      rounds,
    ),
    compare(
      'In how large a store',
      [1, 16, 128].map(mib =>
        storing(folder, `2 KiB in an area of ${mib} MiB`, 2 * KIB, {
          areaLength: mib * MIB,
          size: 256 * MIB,
        }),
      ),
      rounds,
    ),
  ];
}
