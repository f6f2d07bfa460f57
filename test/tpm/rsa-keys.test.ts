/**
 * RSA keys leave the job that generates them as bytes. Node 20 can deadlock where the KeyObject of a job
 * is exported as JWK while a garbage collection finalises the job: too rare to provoke in a test, so the
 * test looks at what the job returns.
 */
import crypto, { KeyObject } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import test from 'ava';
import { ROOT } from '../../lab/files.js';

/** Every result of generateKeyPairSync, for all importers of node:crypto in this process. */
const generated: { publicKey: unknown; privateKey: unknown }[] = [];
const { generateKeyPairSync } = crypto;
crypto.generateKeyPairSync = ((...args: Parameters<typeof generateKeyPairSync>) => {
  const made = generateKeyPairSync(...args);
  generated.push(made);
  return made;
}) as typeof generateKeyPairSync;
syncBuiltinESMExports();

const { generateRsaKey, isRsaKey } = await import('../../src/tpm/crypto/rsa-keys.js');

test('a generated key leaves its job as bytes, never as a KeyObject', t => {
  const exponent = 0x10001;
  const key = generateRsaKey(512, exponent);
  t.true(isRsaKey({ ...key, exponent }));
  t.is(generated.length, 1);
  const parts = generated.flatMap(({ publicKey, privateKey }) => [publicKey, privateKey]);
  t.deepEqual(
    parts.filter(part => part instanceof KeyObject),
    [],
  );
});

test('a modulus and a prime have their full length, whatever they begin with', t => {
  const { modulus, prime } = generateRsaKey(512, 3);
  t.is(modulus.length, 64);
  t.is(prime.length, 32);
});

test('no other file of the package generates keys', t => {
  const src = join(ROOT, 'src');
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts'))
    .filter(file => /\bgenerateKeyPair/.test(readFileSync(join(src, file), 'utf8')));
  t.deepEqual(files, ['tpm/crypto/rsa-keys.ts']);
});
