/**
 * Fault A7 (attacks.md, row 7): a server acknowledges nothing into a file that is no longer the image at
 * the path that it was given.
 * @long
 */
import { copyFileSync, existsSync, linkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../../../lab/files.js';
import { nvtpm } from '../../../lab/program/cli.js';
import { DISABLE, isEnabled, SUCCESS, storingServer, TPM_FAIL } from './_server.js';

// biome-ignore format: table
const REPLACEMENTS: readonly [what: string, replace: (image: string, other: string) => void][] = [
  ['moved away, and a copy put in its place', (image, other) => { renameSync(image, other); copyFileSync(other, image); }],
  ['moved away',                              (image, other) => renameSync(image, other)],
  ['removed, with a hard link left',          (image, other) => { linkSync(image, other); rmSync(image); }],
  ['replaced by a symbolic link to a copy',   (image, other) => { copyFileSync(image, `${other}.copy`); renameSync(image, other); symlinkSync(`${other}.copy`, image); }],
];
for (const [what, replace] of REPLACEMENTS) {
  test(`an image that is ${what}: the next store is refused`, async t => {
    const folder = scratch(t);
    const [image, other] = [join(folder, 'tpm.qcow2'), join(folder, 'other.qcow2')];
    const serving = await storingServer(t, image);
    replace(image, other);
    t.is(await serving.ask(DISABLE), TPM_FAIL);
    const { exit, err } = await serving.stop();
    t.not(exit, 0, err);
    t.true(isEnabled(other));
    if (existsSync(image)) t.true(isEnabled(image));
  });
}

test('the twin: an image that is opened through a symbolic link is stored to', async t => {
  const folder = scratch(t);
  const [image, link] = [join(folder, 'tpm.qcow2'), join(folder, 'link.qcow2')];
  t.is(nvtpm(['create', image]).exit, 0);
  symlinkSync(image, link);
  const serving = await storingServer(t, link);
  t.is(await serving.ask(DISABLE), SUCCESS);
  t.is((await serving.stop()).exit, 0);
  t.false(isEnabled(image));
});
