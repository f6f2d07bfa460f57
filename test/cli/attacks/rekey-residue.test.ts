/**
 * Fault A3 (attacks.md, row 3): after `rekey` from plain to encrypted no byte of the file holds clear
 * text of the state. What rekey cannot reach, internal snapshots and backing files, it names.
 * @long
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import test from 'ava';
import { scratch } from '../../../lab/files.js';
import { qemuImg } from '../../../lab/peers/qemu.js';
import { nvtpm } from '../../../lab/program/cli.js';
import { copiesIn, LEAVE_SECRETS, SECRETS } from '../../../lab/residue/secrets.js';
import { peerTest } from '../../_peers.js';
import { asOwner, identityOf, type Owner, ownedImage } from './_owned.js';

/** An NV index that the secrets have been in. */
const INDEX = 0x1_1102;

const copiesInFile = (path: string) => copiesIn(readFileSync(path));

async function leaveSecrets(owner: Owner): Promise<void> {
  for (const step of LEAVE_SECRETS) {
    if ('define' in step) await owner.define(step.define, step.size);
    else await owner.write(step.write, step.bytes);
  }
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
  for (const [what, copies] of Object.entries(copiesInFile(image))) t.true(copies > 0, what);
  t.is(nvtpm(['rekey', image, '--new-key', key]).exit, 0);
  const none = Object.fromEntries(Object.keys(SECRETS).map(what => [what, 0]));
  t.deepEqual(copiesInFile(image), none);
  await asOwner(image, async owner => owner.write(INDEX, new Uint8Array(1)), '--key', key);
  t.deepEqual(copiesInFile(image), none);
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
    await asOwner(image, owner => owner.write(INDEX, new Uint8Array(8).fill(7)));
  }
  const said = saidBy(image, key);
  t.true(copiesInFile(image)["the owner's auth"]! > 0, 'the snapshots hold it');
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
  t.true(copiesInFile(image)["the owner's auth"]! > 0, 'the backing file holds it');
  for (const each of said) t.true(each.includes(basename(image)), each);
});
