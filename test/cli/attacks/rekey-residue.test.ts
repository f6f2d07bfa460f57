/**
 * Fault A3 (attacks.md, row 3): after `rekey` from plain to encrypted no byte of the file holds clear
 * text of the state. What rekey cannot reach, internal snapshots and backing files, it names.
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import test from 'ava';
import { scratch } from '../../_files.js';
import { peerTest } from '../../_peers.js';
import { qemuImg } from '../../_qemu.js';
import { nvtpm } from '../_cli.js';
import { asOwner, identityOf, OWNER_SECRET, type Owner, ownedImage } from './_owned.js';

const SECRET_BYTES = 200;
/** 200 bytes that repeat a word of 20. */
const secret = (word: string): Buffer => Buffer.alloc(SECRET_BYTES, word.padEnd(20, '.'));
const [WRITTEN, OVERWRITTEN, DELETED, KEPT] = [
  ...['nv-written', 'nv-overwritten', 'nv-deleted', 'nv-kept'].map(secret),
] as [Buffer, Buffer, Buffer, Buffer];
const [STAYS, CHANGES, SPACER, SHRINKS, GOES] = [0x1_1101, 0x1_1102, 0x1_1103, 0x1_1104, 0x1_1105];

const SECRETS: Readonly<Record<string, Uint8Array>> = {
  "the owner's auth": OWNER_SECRET,
  'NV data': WRITTEN.subarray(0, 20),
  'NV data that was overwritten': OVERWRITTEN.subarray(0, 20),
  'NV data that was deleted': DELETED.subarray(0, 20),
  'NV data of a kept generation': KEPT.subarray(0, 20),
};

/** How often each secret is in a file. */
function copiesIn(path: string): Record<string, number> {
  const bytes = readFileSync(path);
  const count = (needle: Uint8Array): number => {
    let found = 0;
    for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) found += 1;
    return found;
  };
  return Object.fromEntries(Object.entries(SECRETS).map(([what, word]) => [what, count(word)]));
}

/**
 * Leaves every secret in the file: in the state, in a kept one, or behind the end of a state that has
 * become shorter. Indices lie in the state in the order of their definition.
 */
async function leaveSecrets(owner: Owner): Promise<void> {
  const zeros = new Uint8Array(SECRET_BYTES);
  // Each half of the store, and each extent of a kept state, gets what was written before this.
  const everywhere = async (): Promise<void> => {
    for (const fill of [1, 2, 3, 4]) await owner.write(STAYS, zeros.slice().fill(fill));
  };
  for (const index of [STAYS, CHANGES, SPACER, SHRINKS, GOES]) {
    await owner.define(index, SECRET_BYTES);
  }
  await owner.write(GOES, DELETED);
  await owner.write(SHRINKS, OVERWRITTEN);
  await everywhere();
  await owner.define(GOES, 0);
  await owner.define(SPACER, 0);
  await owner.write(SHRINKS, zeros);
  await everywhere();
  await owner.write(STAYS, WRITTEN);
  await owner.write(CHANGES, KEPT);
  await owner.write(CHANGES, zeros);
}

/** An image with all secrets in clear, and a key file. */
async function plainImage(folder: string): Promise<{ image: string; key: string }> {
  const image = join(folder, 'tpm.qcow2');
  await ownedImage(image, '--keep', '1');
  await asOwner(image, leaveSecrets);
  const key = join(folder, 'key');
  writeFileSync(key, '5a'.repeat(32), { mode: 0o600 });
  return { image, key: `file=${key}` };
}

test('rekey from plain to encrypted leaves no clear text in the file', async t => {
  const { image, key } = await plainImage(scratch(t));
  const { ek } = identityOf(image);
  for (const [what, copies] of Object.entries(copiesIn(image))) t.true(copies > 0, what);
  t.is(nvtpm(['rekey', image, '--new-key', key]).exit, 0);
  const none = Object.fromEntries(Object.keys(SECRETS).map(what => [what, 0]));
  t.deepEqual(copiesIn(image), none);
  await asOwner(image, async owner => owner.write(CHANGES, new Uint8Array(1)), '--key', key);
  t.deepEqual(copiesIn(image), none);
  t.is(nvtpm(['rekey', image, '--key', key, '--remove-key']).exit, 0);
  t.is(identityOf(image).ek, ek);
});

/** What rekey of an image, and of a copy of it, says: to people, and as JSON. */
function saidBy(image: string, key: string, ...more: readonly string[]): string[] {
  const copy = `${image}.copy`;
  copyFileSync(image, copy);
  const people = nvtpm(['rekey', image, '--new-key', key, ...more]);
  const programs = nvtpm(['rekey', copy, '--new-key', key, '--json', ...more]);
  return [people.out + people.err, JSON.stringify(programs.json())];
}

const NAMES = ['before-lunch', 'after-lunch'];
peerTest('rekey names the internal snapshots that keep clear text', ['qemu-img'], async t => {
  const { image, key } = await plainImage(scratch(t));
  for (const name of NAMES) {
    qemuImg('snapshot', '-q', '-c', name, image);
    await asOwner(image, owner => owner.write(CHANGES, new Uint8Array(SECRET_BYTES).fill(7)));
  }
  const said = saidBy(image, key);
  t.true(copiesIn(image)["the owner's auth"]! > 0, 'the snapshots hold it');
  for (const each of said) {
    for (const name of NAMES) t.true(each.includes(name), each);
  }
});

peerTest('rekey names the backing file that keeps clear text', ['qemu-img'], async t => {
  const folder = scratch(t);
  const { image, key } = await plainImage(folder);
  const overlay = join(folder, 'overlay.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-b', image, '-F', 'qcow2', overlay);
  const said = saidBy(overlay, key, '--allow-backing');
  t.true(copiesIn(image)["the owner's auth"]! > 0, 'the backing file holds it');
  for (const each of said) t.true(each.includes(basename(image)), each);
});
