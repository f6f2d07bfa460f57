/** readBlob(): a blob of a store that is not opened for use, and that stays as it is. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { activated, blob, format, KEY, OTHER_KEY } from '../../lab/store/stores.js';
import { type BlockNode, createQcow2, openImage, withLock } from '../../src/block/index.js';
import { type FormatOptions, type ReadBlobOptions, readBlob } from '../../src/nvram/index.js';

const read = (node: BlockNode, options?: ReadBlobOptions, name = 'permall') =>
  withLock(node, undefined, disk => readBlob(disk, name, options));

/** An image file with a store that has seen two states of `permall`. */
function image(t: ExecutionContext, options: Partial<FormatOptions> = {}): string {
  const path = join(scratch(t), 'tpm.qcow2');
  createQcow2(path, { size: 2 ** 20 });
  using node = openImage(path, { readOnly: false });
  format(node, options);
  const store = activated(node, options);
  store.store('permall', blob(100, 1));
  store.store('permall', blob(200, 2));
  store.close();
  return path;
}

test('a blob is read from a read-only image, and not a byte of the file changes', t => {
  const path = image(t, { historyLength: 1 });
  const before = readFileSync(path);
  {
    using node = openImage(path, { readOnly: true });
    t.deepEqual(read(node), blob(200, 2));
    t.deepEqual(read(node, { generation: 3 }), blob(100, 1));
    t.is(read(node, {}, 'savestate'), undefined);
    t.throws(() => read(node, { generation: 1 }), { code: 'NOT_KEPT' });
    t.throws(() => read(node, {}, '../permall'), { code: 'INVALID_NAME' });
    t.throws(() => read(node, { key: KEY }), { code: 'WRONG_KEY' });
  }
  t.deepEqual(readFileSync(path), before);
});

test('a blob of an encrypted store needs its key', t => {
  const path = image(t, { key: KEY });
  const before = readFileSync(path);
  {
    using node = openImage(path, { readOnly: true });
    t.deepEqual(read(node, { key: KEY }), blob(200, 2));
    t.throws(() => read(node), { code: 'KEY_REQUIRED' });
    t.throws(() => read(node, { key: OTHER_KEY }), { code: 'WRONG_KEY' });
  }
  t.deepEqual(readFileSync(path), before);
});

test('a damaged store, and an image without one, are refused as openStore refuses them', t => {
  const path = image(t);
  {
    using node = openImage(path, { readOnly: false });
    withLock(node, undefined, disk => disk.write(0, blob(512, 0xff)));
  }
  using damaged = openImage(path, { readOnly: true });
  t.throws(() => read(damaged), { code: 'CORRUPT' });
  const empty = join(scratch(t), 'empty.qcow2');
  createQcow2(empty, { size: 2 ** 20 });
  using node = openImage(empty, { readOnly: true });
  t.throws(() => read(node), { code: 'EMPTY' });
});

test('an active instance is not fenced by a read', t => {
  const path = image(t);
  using node = openImage(path, { readOnly: false });
  const store = activated(node);
  t.deepEqual(read(node), blob(200, 2));
  store.store('permall', blob(300, 3));
  t.deepEqual(read(node), blob(300, 3));
  store.close();
});
