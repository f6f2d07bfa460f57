/** swtpm's wrapper: what swtpm has written is read, and what does not fit is refused by its code. */
import test from 'ava';
import { toHex } from '../../../lab/files.js';
import {
  deriveSwtpmKey,
  type SwtpmKeys,
  unwrapBlob,
  wrapBlob,
} from '../../../src/nvram/swtpm/index.js';
import { systemEntropy as entropy } from '../../../src/system.js';
import { blobOf, KEY, refusal, saved, stored, VERSIONS } from './_files.js';

const KEY_256 = new Uint8Array(32).fill(7);

for (const version of VERSIONS) {
  test(`TPM ${version}: a state file of swtpm holds, decrypted, what swtpm_ioctl saved`, t => {
    t.deepEqual(unwrapBlob('x', stored(version), { key: KEY }), blobOf(version));
    t.deepEqual(unwrapBlob('x', saved(version), {}), blobOf(version));
  });

  test(`TPM ${version}: a plain blob for a migration is, byte for byte, swtpm's`, t => {
    t.deepEqual(wrapBlob(blobOf(version), 'migrated', {}, entropy), saved(version));
  });

  test(`TPM ${version}: with the IV of swtpm, an encrypted state file is, byte for byte, swtpm's`, t => {
    const file = stored(version);
    // The last section is the IV: 6 bytes of tag and length, then as many as the key has.
    const iv = file.slice(-KEY.length);
    t.deepEqual(
      wrapBlob(blobOf(version), 'stored', { key: KEY }, () => iv),
      file,
    );
  });
}

test('a passphrase becomes the key that OpenSSL derives', t => {
  // openssl kdf -keylen 16 -kdfopt digest:SHA512 -kdfopt pass:password -kdfopt salt:swtpm -kdfopt iter:1000 PBKDF2
  const passphrase = new TextEncoder().encode('password');
  t.is(toHex(deriveSwtpmKey(passphrase, 16, 'pbkdf2')), 'e7e0e1e00b313f678bfda581bf72a7e2');
  // printf password | sha512sum
  t.is(
    toHex(deriveSwtpmKey(passphrase, 32, 'sha512')),
    'b109f3bbbc244eb82441917ed06d618b9008dd09b3befd1b5e07394c706a8bb9',
  );
});

test('what was wrapped with keys is read with them, for every length of padding', t => {
  for (let length = 1; length <= 70; length += 1) {
    const blob = entropy(length);
    for (const keys of [
      { key: KEY },
      { key: KEY_256 },
      { key: KEY_256, migrationKey: KEY },
    ] satisfies SwtpmKeys[]) {
      const form = 'migrationKey' in keys ? 'migrated' : 'stored';
      t.deepEqual(unwrapBlob('x', wrapBlob(blob, form, keys, entropy), keys), blob);
    }
  }
});

/** A copy with some bytes changed. */
const changed = (bytes: Uint8Array, at: number, ...values: number[]): Uint8Array => {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
};
const plain = saved('1.2');
const sealed = stored('1.2');

// biome-ignore format: table
const REFUSED: readonly [what: string, bytes: Uint8Array, keys: SwtpmKeys, code: string][] = [
  ['nothing',                      new Uint8Array(),               {},                    'MALFORMED'],
  ['a header that is cut off',     plain.slice(0, 9),              {},                    'MALFORMED'],
  ['a header alone',               Uint8Array.of(2, 1, 0, 10, 0, 0, 0, 0, 0, 10), {},     'MALFORMED'],
  ['a blob without a header',      blobOf('1.2'),                  {},                    'MALFORMED'],
  ['a file that is cut off',       plain.slice(0, -1),             {},                    'MALFORMED'],
  ['a file with a byte more',      Uint8Array.of(...plain, 0),     {},                    'MALFORMED'],
  ['another length of the header', changed(plain, 3, 11),          {},                    'MALFORMED'],
  ['a section past the end',       changed(plain, 12, 0xff, 0xff, 0xff, 0xff), {},        'MALFORMED'],
  ['a later version',              changed(plain, 1, 3),           {},                    'REVISION'],
  ['no key',                       sealed,                         {},                    'KEY_REQUIRED'],
  ['another key',                  sealed,                         { key: changed(KEY, 0, 0) }, 'WRONG_KEY'],
  ['a longer key',                 sealed,                         { key: KEY_256 },      'WRONG_KEY'],
  ['a changed ciphertext',         changed(sealed, 100, sealed[100]! ^ 1), { key: KEY },  'WRONG_KEY'],
  ['a changed IV',                 changed(sealed, sealed.length - 1, sealed.at(-1)! ^ 1), { key: KEY }, 'WRONG_KEY'],
  ['a key for plain state',        plain,                          { key: KEY },          'WRONG_KEY'],
  ['a migration key for a file',   sealed,                         { key: KEY, migrationKey: KEY }, 'WRONG_KEY'],
];
for (const [what, bytes, keys, code] of REFUSED) {
  test(`refused: ${what} (${code})`, t => {
    const error = refusal(t, () => unwrapBlob('the file', bytes, keys));
    t.is(error.code, code);
    t.regex(error.message, /^the file: .+; .+/);
  });
}
