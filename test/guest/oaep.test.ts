/** Secrets on their way to the EK: OAEP with SHA-1 and "TCPA", undone by hand (RFC 8017 §7.1.2). */
import { constants, createHash, generateKeyPairSync, privateDecrypt } from 'node:crypto';
import test from 'ava';
import { toHex } from '../../lab/files.js';
import { encryptTo, RSA_2048 } from '../../src/guest/index.js';

const sha1 = (...parts: readonly Uint8Array[]): Buffer =>
  createHash('sha1').update(Buffer.concat(parts)).digest();
const xor = (a: Uint8Array, b: Uint8Array): Buffer => Buffer.from(a.map((byte, i) => byte ^ b[i]!));

/** MGF1 with SHA-1. */
function mask(seed: Uint8Array, length: number): Buffer {
  const blocks: Buffer[] = [];
  for (let counter = 0; counter * 20 < length; counter += 1) {
    blocks.push(sha1(seed, Uint8Array.of(0, 0, 0, counter)));
  }
  return Buffer.concat(blocks).subarray(0, length);
}

test('the owner of the EK reads the secret, under the label of TPM 1.2', t => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const modulus = new Uint8Array(Buffer.from(publicKey.export({ format: 'jwk' }).n!, 'base64url'));
  const secret = new Uint8Array(20).fill(0x5a);
  const blob = encryptTo({ algorithmParms: RSA_2048, modulus }, secret);
  t.is(blob.length, 256);

  const padded = privateDecrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, blob);
  t.is(padded[0], 0);
  const maskedBlock = padded.subarray(21);
  const seed = xor(padded.subarray(1, 21), mask(maskedBlock, 20));
  const block = xor(maskedBlock, mask(seed, maskedBlock.length));
  t.is(block.subarray(0, 20).toString('hex'), sha1(Buffer.from('TCPA')).toString('hex'));
  const end = block.indexOf(1, 20);
  t.true(block.subarray(20, end).every(byte => byte === 0));
  t.is(block.subarray(end + 1).toString('hex'), toHex(secret));
});
