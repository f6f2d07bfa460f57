/**
 * LockFileEx and UnlockFileEx, in the real Windows build of Node under Wine.
 * @long
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { createQcow2, openImage, withLock } from '../../src/block/index.js';
import { WindowsChild, windowsFolder, wineTest } from '../_wine.js';
import { FRESH, readBlob, writeBlob } from './_blob.js';

/** A folder with two files and an image, and two processes that use them. */
function setUp(t: ExecutionContext) {
  const folder = windowsFolder(t);
  for (const name of ['file', 'other']) writeFileSync(join(folder, name), 'x');
  const image = join(folder, 'image.qcow2');
  createQcow2(image, { size: 2 ** 20 });
  const node = openImage(image);
  withLock(node, undefined, disk => writeBlob(disk, FRESH));
  node.close();
  const child = () => new WindowsChild(t, folder, 'lock/_win32-locker.js', folder);
  return { one: child(), two: child(), image };
}

wineTest('Win32: exclusive and shared between processes and between descriptors', async t => {
  const { one, two } = setUp(t);
  for (const each of [one, two]) t.is(await each.ask('open a file'), 'open');
  t.is(await one.ask('flavour a'), 'win32');
  t.is(await one.ask('open b file'), 'open');

  t.is(await one.ask('exclusive a'), 'granted');
  t.is(await two.ask('exclusive a'), 'denied');
  t.is(await two.ask('shared a'), 'denied');
  t.is(await one.ask('exclusive b'), 'denied', 'another descriptor of the same process');
  t.is(await two.ask('holder a'), 'exclusive');
  t.is(await one.ask('unlock a'), 'granted');
  t.is(await two.ask('holder a'), 'none');

  t.is(await two.ask('shared a'), 'granted');
  t.is(await one.ask('shared a'), 'granted');
  t.is(await one.ask('exclusive b'), 'denied');
  t.is(await one.ask('holder b'), 'shared');
  t.is(await one.ask('unlock a'), 'granted');
  t.is(await one.ask('exclusive b'), 'denied', 'still shared by the other process');
  t.is(await two.ask('unlock a'), 'granted');
  t.is(await one.ask('exclusive b'), 'granted');
  t.is(await one.ask('close b'), 'closed');
  t.is(await two.ask('exclusive a'), 'granted', 'closing releases');
});

wineTest('Win32: upgrade is refused by name, downgrade has no gap, ranges, two files', async t => {
  const { one, two } = setUp(t);
  for (const each of [one, two]) {
    t.is(await each.ask('open a file'), 'open');
    t.is(await each.ask('open b other'), 'open');
  }
  t.is(await one.ask('shared a'), 'granted');
  t.is(await one.ask('exclusive a'), 'ENOTSUP');
  t.is(await two.ask('exclusive a'), 'denied', 'still shared');
  t.is(await one.ask('unlock a'), 'granted');
  t.is(await one.ask('exclusive a'), 'granted');
  t.is(await one.ask('exclusive a'), 'granted', 'already held');
  t.is(await one.ask('shared a'), 'granted');
  t.is(await two.ask('exclusive a'), 'denied');
  t.is(await two.ask('shared a'), 'granted');
  t.is(await one.ask('range a 5 2'), 'EINVAL', 'part of a held lock');
  t.is(await one.ask('unlock a'), 'granted');
  t.is(await two.ask('unlock a'), 'granted');

  t.is(await one.ask('range a 300 0'), 'granted');
  t.is(await two.ask('range a 100 200'), 'granted');
  t.is(await two.ask('range b 0 0'), 'granted', 'another file');
  t.is(await one.ask('exclusive b'), 'denied');
});

wineTest('Win32: the lock of a killed process becomes free', async t => {
  const { one, two } = setUp(t);
  for (const each of [one, two]) t.is(await each.ask('image i image.qcow2'), 'open');
  t.is(await one.ask('bdrv_lock i'), 'locked');
  t.is(await two.ask('bdrv_lock i'), 'LOCKED');
  await one.kill();
  let answer = '';
  for (let left = 1000; answer !== 'locked' && left > 0; left -= 1)
    answer = await two.ask('bdrv_lock i');
  t.is(answer, 'locked');
});

wineTest('Win32: bdrv_lock nests and is counted for each image, there is no guard', async t => {
  const { one, two, image } = setUp(t);
  createQcow2(`${image}.2`, { size: 2 ** 20 });
  for (const each of [one, two]) {
    t.is(await each.ask('image i image.qcow2'), 'open');
    t.is(await each.ask('image j image.qcow2.2'), 'open');
  }
  t.is(await one.ask('bdrv_lock i'), 'locked');
  t.is(await one.ask('bdrv_lock i'), 'locked');
  t.is(await one.ask('bdrv_lock j'), 'locked');
  t.is(await two.ask('bdrv_lock j'), 'LOCKED');
  t.is(await one.ask('bdrv_unlock i'), 'unlocked');
  t.is(await two.ask('bdrv_lock i'), 'LOCKED');
  t.is(await one.ask('bdrv_unlock i'), 'unlocked');
  t.is(await two.ask('bdrv_lock i'), 'locked');
  t.is(await two.ask('bdrv_unlock-twice i'), 'NOT_LOCKED');
  t.is(await one.ask('bdrv_lock i'), 'locked');
  t.is(await one.ask('bdrv_unlock i'), 'unlocked');
  t.is(await two.ask('guard i on'), 'ENOTSUP');
  t.is(await two.ask('guard i auto'), 'bytes 0');
});

wineTest('Win32: two processes count in one image and lose nothing', async t => {
  const { one, two, image } = setUp(t);
  for (const each of [one, two]) t.is(await each.ask('image i image.qcow2'), 'open');
  const done = [one.ask('cycle i 100 0'), two.ask('cycle i 100 1')];
  t.deepEqual(await Promise.all(done), ['done', 'done']);
  const after = openImage(image, { readOnly: true });
  t.teardown(() => after.close());
  t.deepEqual(withLock(after, undefined, readBlob)?.counts.slice(0, 2), [100, 100]);
});
