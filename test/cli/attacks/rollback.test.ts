/**
 * Fault A4 (attacks.md, row 4): in an encrypted store nothing of the directory can be changed without
 * the key. Unkeyed digests are made right again after each change.
 * @long
 */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../../lab/files.js';
import { nvtpm } from '../../../lab/program/cli.js';
import { type DirectoryPage, ENTRY, FIELD, Forgery, type Place } from './_forgery.js';
import { asOwner, ownedImage } from './_owned.js';
import { GET_RANDOM, sha256 } from './_verdicts.js';

const folder = mkdtempSync(join(tmpdir(), 'nvtpm-test-'));
const [KEY_FILE, OLD, NOW] = ['key', 'old.qcow2', 'now.qcow2'].map(name => join(folder, name)) as [
  string,
  string,
  string,
];
const KEY = ['--key', `file=${KEY_FILE}`];
/** What the older state does not have. */
const INDEX = 0x1_1101;

test.before(async () => {
  writeFileSync(KEY_FILE, '5a'.repeat(32), { mode: 0o600 });
  await ownedImage(OLD, '--keep', '1', ...KEY);
  copyFileSync(OLD, NOW);
  await asOwner(NOW, owner => owner.define(INDEX, 8), ...KEY);
});
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** Demands that the image is refused as CORRUPT with the key, and stays as it is. */
function corrupt(t: ExecutionContext, path: string): void {
  const before = sha256(path);
  const { exit, out, err } = nvtpm(['exec', path, GET_RANDOM, ...KEY]);
  t.is(exit, 4, out + err);
  t.is(sha256(path), before);
}

function copyOf(t: ExecutionContext, path: string): string {
  const copy = join(scratch(t), 'tpm.qcow2');
  copyFileSync(path, copy);
  return copy;
}

test('an older blob under the newest generation: CORRUPT', t => {
  const old = new Forgery(OLD).blob('permall');
  const path = copyOf(t, NOW);
  const forgery = new Forgery(path);
  forgery.forge(directory => {
    const entry = directory.entry('permall')!;
    const place = entry.get(ENTRY.offset);
    forgery.guest(place, old.box.length).set(old.box);
    entry.bytes.set(old.entry);
    entry.set(ENTRY.offset, place);
  });
  corrupt(t, path);
});

/** Raises a field of both directories. */
const raise =
  (field: Place, by = 1) =>
  (directory: DirectoryPage) =>
    directory.set(field, directory.get(field) + by);

// biome-ignore format: table
const CHANGES: readonly [what: string, change: (directory: DirectoryPage) => void][] = [
  ['a later epoch, which would fence the instance that is active', raise(FIELD.epoch, 5)],
  ['another generation of the first blob',                         raise(FIELD.firstBlobGeneration)],
  ['a larger limit for blobs',                                     raise(FIELD.blobLimit)],
  ['a longer history',                                             raise(FIELD.historyLength)],
  ['free space that is marked as not overwritten',                 directory => directory.set(FIELD.unscrubbed, 1)],
];
for (const [what, change] of CHANGES) {
  test(`${what}: CORRUPT`, t => {
    const path = copyOf(t, NOW);
    new Forgery(path).forge(change);
    corrupt(t, path);
  });
}

test('a directory of a revision without a keyed digest is refused', t => {
  const path = copyOf(t, NOW);
  new Forgery(path).forge(directory => directory.set(FIELD.revision, 1));
  const before = sha256(path);
  const { exit, out, err } = nvtpm(['exec', path, GET_RANDOM, ...KEY]);
  t.true(exit === 4 || exit === 7, `${exit}: ${out}${err}`);
  t.is(sha256(path), before);
});

test('the twin: digests made right without a change are accepted', t => {
  const path = copyOf(t, NOW);
  new Forgery(path).forge(() => {});
  t.is(nvtpm(['exec', path, GET_RANDOM, ...KEY]).exit, 0);
});
