/** The SHA-1 that can be put aside, against OpenSSL's, and over a pause at every place. */
import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { toHex } from '../../lab/files.js';
import { Sha1Stream, sha1Progress } from '../../src/tpm/crypto/sha1-stream.js';
import { decode, encode } from '../../src/wire/codec.js';

test('is SHA-1, however the data comes and wherever it is put aside', t => {
  const parts = fc.array(fc.uint8Array({ maxLength: 150 }), { maxLength: 6 });
  const property = fc.property(parts, chunks => {
    const reference = createHash('sha1');
    let stream = new Sha1Stream();
    for (const chunk of chunks) {
      reference.update(chunk);
      stream.update(chunk);
      stream = Sha1Stream.resume(decode(sha1Progress, encode(sha1Progress, stream.progress())));
    }
    return toHex(stream.finish()) === reference.digest('hex');
  });
  t.notThrows(() => fc.assert(property, { numRuns: 300 }));
});
