/**
 * Fault A1 (attacks.md, row 1): an image with a TPM whose qcow2 mapping is lost reads as zeros. Every
 * subcommand refuses it as IMAGE or CORRUPT, makes no new TPM, and leaves the file untouched.
 */
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../../lab/files.js';
import { qemuImg } from '../../../lab/peers/qemu.js';
import { nvtpm } from '../../../lab/program/cli.js';
import { Qcow2Map } from '../../../lab/qcow2-map.js';
import { peerTest } from '../../_peers.js';
import { ownedImage } from './_owned.js';
import { answerOf, GET_RANDOM, sha256, USES, type Use } from './_verdicts.js';

const folder = mkdtempSync(join(tmpdir(), 'nvtpm-test-'));
const OWNED = join(folder, 'owned.qcow2');
test.before(() => ownedImage(OWNED));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** IMAGE and CORRUPT. */
const REFUSED = [11, 4];

/** Uses an image in every way, and demands a refusal that touches nothing. */
async function refusedByAll(
  t: ExecutionContext,
  path: string,
  ...more: readonly string[]
): Promise<void> {
  const before = readFileSync(path);
  const wrong: string[] = [];
  for (const use of Object.keys(USES) as Use[]) {
    const { exit, out } = answerOf(use, path, ...more);
    if (!REFUSED.includes(exit as number)) wrong.push(`${use} ends with ${exit}`);
    if (/"outcome": "EMPTY"/.test(out)) wrong.push(`${use} says EMPTY`);
    if (readFileSync(path).equals(before)) continue;
    wrong.push(`${use} writes to the file`);
    writeFileSync(path, before);
  }
  t.deepEqual(wrong, []);
}

/** A copy of the owned image that `harm` has changed. */
function harmed(t: ExecutionContext, harm: (bytes: Buffer, map: Qcow2Map) => void): string {
  const bytes = readFileSync(OWNED);
  harm(bytes, new Qcow2Map(readFileSync(OWNED)));
  const path = join(scratch(t), 'tpm.qcow2');
  writeFileSync(path, bytes);
  return path;
}

const zero = (bytes: Buffer, offset: number, length: number): void => {
  bytes.fill(0, offset, offset + length);
};

// biome-ignore format: table
const HARMS: readonly [what: string, harm: (bytes: Buffer, map: Qcow2Map) => void][] = [
  ['one flipped bit in the L1 entry: it names a place behind the end of the file',
    (bytes, { l1 }) => { bytes[l1.offset + 4]! ^= 1; }],
  ['one flipped bit in l1_table_offset: it names a place behind the end of the file',
    bytes => { bytes[44]! ^= 1; }],
  ['l1_table_offset names a cluster of zeros inside the file',
    (bytes, map) => { bytes.writeBigUInt64BE(BigInt(map.hostOf(0xf_0000)!), 40); }],
  ['a zeroed L1 entry',
    (bytes, { l1 }) => zero(bytes, l1.offset, 8)],
  ['a zeroed L1 table cluster',
    (bytes, { l1, clusterSize }) => zero(bytes, l1.offset, clusterSize)],
  ['a zeroed first sector of the L2 table',
    (bytes, map) => zero(bytes, map.l2Tables[0]!.offset, 512)],
  ['a zeroed L2 table',
    (bytes, map) => zero(bytes, map.l2Tables[0]!.offset, map.clusterSize)],
  ['zeroed L1, L2, refcount table and refcount block: the header alone is left',
    (bytes, map) => zero(bytes, map.clusterSize, bytes.length - map.clusterSize)],
];
for (const [what, harm] of HARMS) {
  test.serial(`${what}: refused by all, untouched`, t => refusedByAll(t, harmed(t, harm)));
}

for (const length of [4096, 196_608, 300_000, 327_680]) {
  test.serial(`truncated to ${length} bytes: refused by all, untouched`, async t => {
    const path = join(scratch(t), 'tpm.qcow2');
    copyFileSync(OWNED, path);
    truncateSync(path, length);
    await refusedByAll(t, path);
  });
}

peerTest(
  'an L1 table that is lost, then repaired by qemu-img: the image is sound and empty, and refused',
  ['qemu-img'],
  async t => {
    const path = harmed(t, (bytes, { l1 }) => zero(bytes, l1.offset, l1.length));
    qemuImg('check', '-q', '-r', 'all', path);
    await refusedByAll(t, path);
  },
);

test.serial('an L1 table that is lost, then repaired by nvtpm check: refused', async t => {
  const path = harmed(t, (bytes, { l1 }) => zero(bytes, l1.offset, l1.length));
  nvtpm(['check', path, '--repair']);
  await refusedByAll(t, path);
});

peerTest(
  'an empty overlay of an image whose mapping is lost: refused by all, untouched',
  ['qemu-img'],
  async t => {
    const base = harmed(t, (bytes, { l1 }) => {
      bytes[l1.offset + 4]! ^= 1;
    });
    const before = sha256(base);
    const overlay = join(scratch(t), 'overlay.qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay);
    await refusedByAll(t, overlay, '--allow-backing');
    t.is(sha256(base), before);
  },
);

peerTest('a new TPM is made in a sound image of zeros, by qemu-img too', ['qemu-img'], t => {
  const path = join(scratch(t), 'empty.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', path, '64M');
  t.is(nvtpm(['info', path]).exit, 0);
  t.is(nvtpm(['create', path]).exit, 0);
  t.is(nvtpm(['exec', path, GET_RANDOM]).exit, 0);
});
