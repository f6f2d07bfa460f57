/**
 * Many processes, one image: no update is lost or torn.
 * @long
 */
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { scratch } from '../../lab/files.js';
import { createQcow2, openImage, withLock } from '../../src/block/index.js';
import { Child } from '../_child.js';
import { FRESH, LEFT, readBlob, WRITERS, writeBlob } from './_blob.js';

const test = (process.platform === 'linux' ? anyTest : anyTest.skip) as TestFn;

/** The exit codes of the contenders, and the blob that they left (undefined if torn). */
async function contend(t: ExecutionContext, flavour: string, rounds: number) {
  const path = join(scratch(t), 'image.qcow2');
  createQcow2(path, { size: 2 ** 20 });
  const node = openImage(path);
  withLock(node, undefined, disk => writeBlob(disk, FRESH));
  node.close();
  const contenders = Array.from(
    { length: WRITERS },
    (_, id) => new Child(t, 'lock/_contender.js', path, flavour, `${rounds}`, `${id}`),
  );
  for (const each of contenders) t.is(await each.line(), 'ready');
  for (const each of contenders) each.process.stdin!.write('go\n');
  const codes = await Promise.all(contenders.map(each => each.ended()));
  const after = openImage(path, { readOnly: true });
  t.teardown(() => after.close());
  return { codes, blob: withLock(after, undefined, readBlob) };
}

const ROUNDS = 1000;
for (const flavour of ['ofd', 'posix']) {
  test.serial(`${WRITERS} processes × ${ROUNDS} cycles lose nothing: ${flavour}`, async t => {
    const { codes, blob } = await contend(t, flavour, ROUNDS);
    t.deepEqual(codes, Array(WRITERS).fill(LEFT));
    t.deepEqual(blob?.counts, Array(WRITERS).fill(ROUNDS));
    // Had they run one after the other, there would be 7 hand-overs.
    t.log(`${blob?.handovers} hand-overs`);
    t.true(blob!.handovers > ROUNDS);
  });
}

test.serial('with a bdrv_lock that does nothing they lose updates', async t => {
  const { blob } = await contend(t, 'none', ROUNDS);
  t.notDeepEqual(blob?.counts, Array(WRITERS).fill(ROUNDS));
});
