/** Directory, linear store and blob files of swtpm, as stores. */
import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../../lab/files.js';
import type { BlobStore } from '../../../src/nvram/index.js';
import {
  openSwtpmBlobs,
  openSwtpmDirectory,
  SwtpmLinear,
  type SwtpmOptions,
} from '../../../src/nvram/swtpm/index.js';
import { systemEntropy as entropy } from '../../../src/system.js';
import { blobOf, KEY, refusal, saved, stored } from './_files.js';

type Open = (path: string, options: SwtpmOptions) => BlobStore;

const STORES: Readonly<Record<string, Open>> = {
  directory: (path, options) => openSwtpmDirectory(path, { ...options, version: '1.2' }),
  linear: (path, options) => new SwtpmLinear(join(path, 'store'), options),
  blobs: openSwtpmBlobs,
};

const codeOf = (t: ExecutionContext, act: () => unknown): string => refusal(t, act).code;

for (const [kind, open] of Object.entries(STORES)) {
  test(`${kind}: what was committed is loaded, and deleted, by the next opening`, t => {
    const path = scratch(t);
    const options = { entropy, keys: { key: KEY } };
    const blobs = new Map([
      ['permall', blobOf('1.2')],
      ['savestate', Uint8Array.of(1, 2, 3)],
    ]);
    const first = open(path, options);
    t.true(first.pristine);
    first.commit(blobs);
    first.close();
    const second = open(path, options);
    t.false(second.pristine);
    t.deepEqual(second.load('permall'), blobOf('1.2'));
    t.deepEqual(second.load('savestate'), Uint8Array.of(1, 2, 3));
    t.is(second.load('volatilestate'), undefined);
    second.commit(new Map([['savestate', null]]));
    t.is(second.load('savestate'), undefined);
    t.deepEqual(second.load('permall'), blobOf('1.2'));
    second.close();
    const wrong = open(path, { entropy });
    t.is(
      codeOf(t, () => wrong.load('permall')),
      'KEY_REQUIRED',
    );
    wrong.close();
  });

  test(`${kind}: files are for their owner only, and no temporary file is left`, t => {
    const path = scratch(t);
    const store = open(path, { entropy });
    store.commit(new Map([['permall', blobOf('1.2')]]));
    store.close();
    const files = readdirSync(path).filter(name => name !== '.lock');
    t.is(files.length, 1, files.join(' '));
    t.is(statSync(join(path, files[0]!)).mode & 0o777, 0o600);
  });

  test(`${kind}: a blob that swtpm has not is refused, and nothing is written`, t => {
    const path = scratch(t);
    const store = open(path, { entropy });
    const changes = new Map([
      ['permall', blobOf('1.2')],
      ['other', Uint8Array.of(1)],
    ]);
    t.is(
      codeOf(t, () => store.commit(changes)),
      'INVALID_NAME',
    );
    t.true(store.pristine);
    store.close();
  });
}

test('directory: what swtpm wrote is loaded', t => {
  const path = scratch(t);
  writeFileSync(join(path, 'tpm2-00.permall'), stored('2.0'));
  const store = openSwtpmDirectory(path, { entropy, keys: { key: KEY } });
  t.deepEqual(store.load('permall'), blobOf('2.0'));
  store.close();
});

test('blobs: what swtpm_ioctl wrote is loaded, and its empty file is no blob', t => {
  const path = scratch(t);
  writeFileSync(join(path, 'permanent'), saved('1.2'));
  writeFileSync(join(path, 'savestate'), '');
  const store = openSwtpmBlobs(path, { entropy });
  t.deepEqual(store.load('permall'), blobOf('1.2'));
  t.is(store.load('savestate'), undefined);
});

test('directory: without a state, with a backup only, and with two TPMs, each is refused by name', t => {
  const path = scratch(t);
  const open = () => openSwtpmDirectory(path, { entropy });
  t.is(codeOf(t, open), 'ABSENT');
  writeFileSync(join(path, 'tpm2-00.permall.bak'), saved('2.0'));
  const error = refusal(t, open);
  t.is(error.code, 'BACKUP');
  t.regex(
    error.message,
    /tpm2-00\.permall is missing, and there is its backup tpm2-00\.permall\.bak/,
  );
  writeFileSync(join(path, 'tpm-00.permall'), saved('1.2'));
  writeFileSync(join(path, 'tpm2-00.permall'), saved('2.0'));
  t.is(codeOf(t, open), 'AMBIGUOUS');
  // None of the refusals has kept the lock.
  openSwtpmDirectory(path, { entropy, version: '2.0' }).close();
});

test('directory: while it is open it is locked, and the refusal names the holder', t => {
  const path = scratch(t);
  writeFileSync(join(path, 'tpm-00.permall'), saved('1.2'));
  const open = () => openSwtpmDirectory(path, { entropy });
  const held = open();
  const error = refusal(t, open);
  t.is(error.code, 'LOCKED');
  t.regex(error.message, /\.lock is locked by /);
  held.close();
  open().close();
});

test('what is not a file is refused: a pipe, a folder, a missing folder, a linked lock', t => {
  const path = scratch(t);
  const blobs = openSwtpmBlobs(path, { entropy });
  mkdirSync(join(path, 'volatile'));
  t.is(
    codeOf(t, () => blobs.load('volatilestate')),
    'MALFORMED',
  );
  if (spawnSync('mkfifo', [join(path, 'permanent')]).status === 0) {
    t.is(
      codeOf(t, () => blobs.load('permall')),
      'MALFORMED',
    );
  }
  t.is(
    codeOf(t, () => openSwtpmDirectory(join(path, 'none'), { entropy })),
    'IO',
  );
  symlinkSync('elsewhere', join(path, '.lock'));
  t.is(
    codeOf(t, () => openSwtpmDirectory(path, { entropy })),
    'IO',
  );
});

/** A linear store by the offsets of its format: what the test writes there, swtpm would trust. */
function linearWith(slot: readonly [offset: number, length: number, section: number]): Buffer {
  const file = Buffer.alloc(192 + 4096);
  file.write('nilmptws', 0, 'latin1');
  file[8] = 1;
  file.writeUInt16LE(192, 10);
  for (const [i, value] of slot.entries()) file.writeUInt32LE(value, 12 + 4 * i);
  file.set(saved('1.2'), 192);
  return file;
}
const LENGTH = saved('1.2').length;

const at = (offset: number, ...values: number[]) => {
  const file = linearWith([192, LENGTH, 4096]);
  file.set(values, offset);
  return file;
};

// biome-ignore format: table
const LINEAR: readonly [what: string, file: Uint8Array, code: string | undefined][] = [
  ['a sound store',                       linearWith([192, LENGTH, 4096]),         undefined],
  ['another magic',                       at(0, 0x6d),                             'MALFORMED'],
  ['a file that is empty',                new Uint8Array(),                        'MALFORMED'],
  ['a header that is cut off',            linearWith([192, LENGTH, 4096]).subarray(0, 191), 'MALFORMED'],
  ['a later version',                     at(8, 2),                                'REVISION'],
  ['a shorter header',                    at(10, 191),                             'MALFORMED'],
  ['an offset in the header',             linearWith([8, LENGTH, 4096]),           'MALFORMED'],
  ['an offset past the end',              linearWith([0xffff_ff00, LENGTH, 4096]), 'MALFORMED'],
  ['a sum that wraps at 32 bits',         linearWith([0xffff_ffff, 0xffff_ffff, 0xffff_ffff]), 'MALFORMED'],
  ['a length past the end',               linearWith([192, 4097, 8192]),           'MALFORMED'],
  ['a length past its section',           linearWith([192, LENGTH, LENGTH - 1]),   'MALFORMED'],
  ['slots that overlap',                  at(24, 200, 0, 0, 0, 16, 0, 0, 0, 16),   'MALFORMED'],
  ['a slot shorter than its blob',        linearWith([192, LENGTH - 1, 4096]),     'MALFORMED'],
];
for (const [what, file, code] of LINEAR) {
  test(`linear: ${what} ${code === undefined ? 'is loaded' : `is ${code}`}`, t => {
    const path = join(scratch(t), 'store');
    writeFileSync(path, file);
    const store = new SwtpmLinear(path, { entropy });
    if (code === undefined) t.deepEqual(store.load('permall'), blobOf('1.2'));
    else
      t.is(
        codeOf(t, () => store.load('permall')),
        code,
      );
  });
}

test('linear: a file of another kind, and a link, are not replaced', t => {
  const folder = scratch(t);
  const text = join(folder, 'text');
  const changes = new Map([['permall', blobOf('1.2')]]);
  writeFileSync(text, 'a text of mine');
  t.is(
    codeOf(t, () => new SwtpmLinear(text, { entropy }).commit(changes)),
    'MALFORMED',
  );
  t.is(readFileSync(text, 'utf8'), 'a text of mine');
  const store = join(folder, 'store');
  new SwtpmLinear(store, { entropy }).commit(changes);
  symlinkSync(store, join(folder, 'link'));
  const link = new SwtpmLinear(join(folder, 'link'), { entropy });
  t.is(
    codeOf(t, () => link.commit(changes)),
    'UNSUPPORTED',
  );
});
