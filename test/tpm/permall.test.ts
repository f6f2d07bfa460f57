/**
 * `permall` is an attacker's: whatever its bytes, it is a state to the last bit or it is refused by
 * name, and nothing is written over it. The states are swtpm's.
 */
import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { hex, toHex } from '../../lab/files.js';
import { transcript, transcripts } from '../../lab/recorder/transcript.js';
import { MemoryNvram } from '../../lab/reference/memory-nvram.js';
import { entropy, Rig } from '../../lab/reference/rig.js';
import { endorsed, owned, withIndices } from '../../lab/reference/states.js';
import { StateError } from '../../src/tpm/engine.js';
import { rsaKeyOf } from '../../src/tpm/tpm12/keys/numbers.js';
import { decodePermall, encodePermall } from '../../src/tpm/tpm12/state/permall.js';
import { keptKey } from '../../src/tpm/tpm12/structures/key.js';
import { Tpm12 } from '../../src/tpm/tpm12/tpm12.js';
import { concat, decode, encode } from '../../src/wire/codec.js';

const DIGEST_BYTES = 20;

/** A blob whose digest an attacker computed anew. */
const resealed = (content: Uint8Array): Uint8Array =>
  concat(content, new Uint8Array(createHash('sha1').update(content).digest()));

test('the length that stands before the private part of a key is not asked for', t => {
  // libtpms reads it and goes by the structure that follows; a context may say anything there.
  const { srk } = decodePermall(owned()).data;
  const bytes = encode(keptKey, srk);
  const at = Buffer.from(bytes).indexOf(srk.secret!.pubDataDigest) - 45;
  new DataView(bytes.buffer).setUint32(at, 0xffff_ffff);
  t.deepEqual(decode(keptKey, bytes), srk);
});

test('every state that swtpm left comes out as it went in', t => {
  for (const name of transcripts()) {
    const { endsWith } = transcript(name);
    t.is(toHex(encodePermall(decodePermall(hex(endsWith)))), endsWith, name);
  }
});

test('every flipped byte is refused', t => {
  const blob = withIndices();
  for (let at = 0; at < blob.length; at += 1) {
    const flipped = blob.with(at, blob[at]! ^ 0x40);
    t.throws(() => decodePermall(flipped), { instanceOf: StateError }, `byte ${at}`);
  }
});

test('every truncation is refused', t => {
  const blob = owned();
  for (let length = 0; length < blob.length; length += 1) {
    t.throws(() => decodePermall(blob.slice(0, length)), { code: 'MALFORMED' });
  }
});

test('every appended byte is refused, under its own digest too', t => {
  const blob = owned();
  for (const extra of [0x00, 0x01, 0xff]) {
    const tail = Uint8Array.of(extra);
    t.throws(() => decodePermall(concat(blob, tail)), { code: 'MALFORMED' });
    const content = concat(blob.slice(0, -DIGEST_BYTES), tail);
    t.throws(() => decodePermall(resealed(content)), { code: 'MALFORMED' });
  }
});

test('a refused state is named, not replaced', t => {
  const nvram = new MemoryNvram();
  const damaged = owned().with(700, owned()[700]! ^ 1);
  nvram.blobs.set('permall', damaged);
  t.throws(() => new Rig(nvram), {
    instanceOf: StateError,
    message: 'the permall blob is not a state of this engine: its digest does not match',
  });
  t.deepEqual(nvram.log, []);
  t.deepEqual(nvram.permall, damaged);
});

test('an empty blob is damage, and no new TPM', t => {
  const nvram = new MemoryNvram();
  nvram.blobs.set('permall', new Uint8Array());
  t.throws(() => new Rig(nvram), { instanceOf: StateError });
  t.deepEqual(nvram.log, []);
});

test('an attacker who computes the digest anew gets a state, or a refusal, and no crash', t => {
  const seeds = [endorsed(), owned(), withIndices()].map(blob => blob.slice(0, -DIGEST_BYTES));
  const edit = fc.tuple(fc.nat(), fc.nat(255));
  const property = fc.property(
    fc.constantFrom(...seeds),
    fc.array(edit, { minLength: 1, maxLength: 4 }),
    fc.option(fc.nat(), { nil: undefined }),
    (seed, edits, cut) => {
      const content = seed.slice(0, cut === undefined ? seed.length : cut % seed.length);
      for (const [at, value] of edits) if (content.length > 0) content[at % content.length] = value;
      const blob = resealed(content);
      const nvram = new MemoryNvram();
      nvram.blobs.set('permall', blob);
      const tpm = new Tpm12({ entropy, clock: () => 0 });
      try {
        tpm.init(nvram);
      } catch (error) {
        return error instanceof StateError;
      }
      // What is taken for a state is one to the last bit.
      return toHex(encodePermall(decodePermall(blob))) === toHex(blob) && nvram.log.length === 0;
    },
  );
  t.notThrows(() => fc.assert(property, { numRuns: 600 }));
});

test('a count that promises more than there is costs no memory', t => {
  // The count of NV indices is the last thing in a state without any.
  const content = endorsed().slice(0, -DIGEST_BYTES);
  for (const count of ['7fffffff', 'ffffffff', '00000300']) {
    const lying = concat(content.slice(0, -4), hex(count));
    t.throws(() => decodePermall(resealed(lying)), { code: 'MALFORMED' });
  }
});

test('a state larger than libtpms has is refused before it is read', t => {
  t.throws(() => decodePermall(new Uint8Array(50_000)), { message: /50000 bytes are more than/ });
});

test('a key that is larger than this TPM makes any is not computed with', t => {
  const { endorsementKey } = decodePermall(endorsed()).data;
  t.is(rsaKeyOf(endorsementKey)?.exponent, 65537);
  t.is(rsaKeyOf({ ...endorsementKey, pubKey: new Uint8Array(513) }), undefined);
});

test('an Endorsement Key that is not sound is a failed self-test, as of libtpms', t => {
  const state = decodePermall(endorsed());
  state.data.endorsementKey.secret!.prime[60]! ^= 1;
  const nvram = new MemoryNvram();
  nvram.blobs.set('permall', encodePermall(state));
  const rig = new Rig(nvram);
  t.is(toHex(rig.transmit(hex('00c10000000c000000990001'))), '00c40000000a0000001c');
  t.is(toHex(rig.transmit(hex('00c10000000e0000001500000000'))), '00c40000000a0000001c');
});
