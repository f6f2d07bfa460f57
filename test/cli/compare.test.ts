/** `nvtpm compare` and `nvtpm log`: states of a TPM, side by side and one after another. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { asOwner } from '../../lab/subject.js';
import { createQcow2, openImage, takeGuard } from '../../src/block/index.js';
import { cli } from './_in-process.js';

const SECRET = new Uint8Array(20).fill(7);
const INDEX = 0x0001_1101;
/** TPM_Startup(ST_CLEAR) comes first; TSC_PhysicalPresence sets physicalPresenceCMDEnable. */
const PRESENCE_ENABLE = '00c10000000c4000000a0020';

/** An image with a TPM. */
async function image(t: ExecutionContext, ...options: string[]): Promise<string> {
  const path = join(scratch(t), 'a.qcow2');
  t.is((await cli(['create', path, '--size', '1M', ...options])).exit, 0);
  t.is((await cli(['exec', path, '00c10000000e0000004600000008'])).exit, 0);
  return path;
}

function copied(path: string, name: string): string {
  const copy = path.replace(/[^/]+$/, name);
  copyFileSync(path, copy);
  return copy;
}

interface Info {
  readonly nvram: { readonly blobs: readonly { readonly size: number; readonly sha256: string }[] };
}

test('a copy has the same state, byte for byte, and neither file changes', async t => {
  const a = await image(t);
  const b = copied(a, 'b.qcow2');
  const before = readFileSync(a);
  const run = await cli(['compare', a, b]);
  t.is(run.exit, 0, run.err);
  const info = (await cli(['info', a, '--json'])).json() as unknown as Info;
  const { size, sha256 } = info.nvram.blobs[0]!;
  t.true(run.out.startsWith(`permall: same, ${size} bytes, sha256 ${sha256}\n`), run.out);
  t.regex(run.out, /^EK: none\nstore: same, [0-9a-f]{32}\nthe states are the same$/m);
  const side = { size, sha256 };
  t.like((await cli(['compare', a, b, '--json'])).json() as object, {
    same: true,
    sameStore: true,
    sameEk: null,
    blobs: [{ name: 'permall', result: 'same', a: side, b: side }],
  });
  t.deepEqual(readFileSync(a), before);
  t.deepEqual(readFileSync(b), before);
});

test('states that differ are told blob by blob and part by part, with exit code 1', async t => {
  const a = await image(t);
  const [b, c] = [copied(a, 'b.qcow2'), copied(a, 'c.qcow2')];
  asOwner(b, SECRET, owner => {
    owner.take();
    owner.define(INDEX, 4);
  });
  copyFileSync(b, c);
  asOwner(c, SECRET, owner => owner.write(INDEX, Uint8Array.of(1, 2, 3, 4)));

  const owned = await cli(['compare', a, b, '--json']);
  t.is(owned.exit, 1);
  const { same, sameEk, blobs } = owned.json() as unknown as {
    readonly same: boolean;
    readonly sameEk: boolean | null;
    readonly blobs: readonly { readonly result: string; readonly parts: readonly string[] }[];
  };
  t.false(same);
  t.is(sameEk, null, 'there is no EK yet in the first');
  t.is(blobs[0]!.result, 'different');
  // Part 3 of the specification: what TPM_CreateEndorsementKeyPair, TPM_TakeOwnership and
  // TPM_NV_DefineSpace set, and some of what they leave.
  const { parts } = blobs[0]!;
  for (const part of ['endorsementKey', 'CEKPUsed', 'ownerAuth', 'ownerInstalled', 'srk']) {
    t.true(parts.includes(part), part);
  }
  t.true(parts.includes('NV index 0x00011101'));
  for (const part of ['deactivated', 'operatorAuth', 'counters', 'authDIR', 'nvLocked']) {
    t.false(parts.includes(part), part);
  }

  const written = await cli(['compare', b, c]);
  t.is(written.exit, 1);
  t.regex(written.out, /^permall: different$/m);
  t.regex(written.out, /^ {2}parts that differ: NV index 0x00011101$/m);
  t.regex(written.out, /^EK: same, [0-9a-f:]{47}$/m);
  t.regex(written.out, /^the states differ$/m);
});

test('two generations of one image are compared, and listed by the log', async t => {
  const a = await image(t, '--keep', '3');
  t.is((await cli(['exec', a, PRESENCE_ENABLE])).exit, 0);
  const before = readFileSync(a);
  const log = await cli(['log', a]);
  t.is(log.exit, 0, log.err);
  // The TPM's first store is generation 3, each power on and each store is one more.
  t.regex(log.out, /^generation 5, current\n {2}permall: 1169 bytes, of generation 5, sha256 /);
  t.regex(log.out, /^ {2}since generation 4: permall replaced \(1169 → 1169 bytes\)$/m);
  t.regex(log.out, /^generation 4\n {2}permall: 1169 bytes, of generation 3, sha256 /m);
  t.regex(log.out, /the last replaced 3 states are kept \(create --keep 3\)\n$/);
  t.like((await cli(['log', a, '--json'])).json() as object, {
    keep: 3,
    states: [
      {
        generation: 5,
        current: true,
        since: 4,
        changes: [{ name: 'permall', change: 'replaced', sizes: [1169, 1169] }],
      },
      { generation: 4, current: false, since: null, changes: [] },
    ],
  });
  const run = await cli(['compare', a, a, '--generation', '4']);
  t.is(run.exit, 1);
  t.regex(run.out, /^ {2}parts that differ: physicalPresenceCMDEnable$/m);
  const twice = ['compare', a, a, '--generation', '4', '--other-generation', '4'];
  t.is((await cli(twice)).exit, 0);
  const missing = await cli(['compare', a, a, '--other-generation', '3']);
  t.is(missing.exit, 2, 'an error is never taken for a difference');
  t.regex(missing.err, /generation 3 is not kept; nvtpm log .* lists those that are/);
  t.deepEqual(readFileSync(a), before);
});

test('an encrypted copy has the same state; each image has its own key', async t => {
  const a = await image(t);
  const b = copied(a, 'b.qcow2');
  const [key, wrong] = ['key', 'wrong'].map((name, at) => {
    const path = a.replace(/[^/]+$/, name);
    writeFileSync(path, `${at + 1}`.repeat(64), { mode: 0o600 });
    return `file=${path}`;
  });
  t.is((await cli(['rekey', b, '--new-key', key!])).exit, 0);
  const before = readFileSync(b);
  t.is((await cli(['compare', a, b, '--other-key', key!])).exit, 0);
  t.is((await cli(['compare', b, a, '--key', key!])).exit, 0);
  t.is((await cli(['compare', a, b])).exit, 5);
  t.is((await cli(['compare', a, b, '--other-key', wrong!])).exit, 6);
  t.is((await cli(['log', b])).exit, 0);
  t.is((await cli(['log', b, '--key', wrong!])).exit, 6);
  t.deepEqual(readFileSync(b), before);
});

test('locks are shared with readers, an image in use is refused unless --force-share', async t => {
  const a = await image(t);
  const b = copied(a, 'b.qcow2');
  {
    using node = openImage(b, { readOnly: true });
    using _ = takeGuard(node, 'reader');
    t.is((await cli(['compare', a, b])).exit, 0);
  }
  using node = openImage(b, { readOnly: false });
  using _ = takeGuard(node, 'writer');
  t.is((await cli(['compare', a, b])).exit, 9);
  t.is((await cli(['compare', a, b, '-U'])).exit, 0);
  t.is((await cli(['log', b, '-U'])).exit, 0);
});

test('an image without a store is an error, and a trace never overwrites either image', async t => {
  const a = await image(t);
  const empty = a.replace(/[^/]+$/, 'empty.qcow2');
  createQcow2(empty, { size: 2 ** 20 });
  t.is((await cli(['compare', a, empty])).exit, 3);
  t.like(await cli(['log', empty]), { exit: 0, out: 'no store\n' });
  t.is((await cli(['compare', a, empty, '--trace', empty])).exit, 2);
  t.is((await cli(['compare', a, empty])).exit, 3, 'it is still an image');
  const damaged = copied(a, 'damaged.qcow2');
  const bytes = readFileSync(damaged);
  const at = bytes.indexOf('nvtpmack');
  bytes[at + 40]! ^= 1;
  writeFileSync(damaged, bytes);
  t.is((await cli(['compare', a, damaged])).exit, 4);
  const log = await cli(['log', damaged]);
  t.is(log.exit, 4);
  t.regex(log.out, /^no store\nfault: /);
});
