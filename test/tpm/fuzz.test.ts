/**
 * The guest is the attacker. Requests that were recorded, mutated at random, in random order: nothing
 * is thrown, every response is well-formed, no guest brings the TPM down, and the permanent state is
 * another only after a command that succeeded.
 */
import test from 'ava';
import fc from 'fast-check';
import { hex, toHex } from '../_files.js';
import { MemoryNvram } from './_memory-nvram.js';
import { transcript, transcripts } from './_replay.js';
import { Rig } from './_rig.js';
import { endorsed, fixedKey, owned, withIndices } from './_states.js';

const requests = [
  ...new Set(
    transcripts().flatMap(name =>
      transcript(name).steps.flatMap(step => (step.event === undefined ? [step.request] : [])),
    ),
  ),
].map(hex);

const HEADER_BYTES = 10;
const SUCCESS = 0;
const FAIL = 9;

/** A request as it was recorded, or with bytes changed, cut off or added, or a size that lies. */
const mutated = fc
  .record({
    request: fc.constantFrom(...requests),
    edits: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
    cut: fc.option(fc.nat(60), { nil: 0, freq: 3 }),
    tail: fc.uint8Array({ maxLength: 4 }),
    honest: fc.boolean(),
  })
  .map(({ request, edits, cut, tail, honest }) => {
    const bytes = Uint8Array.of(...request.slice(0, Math.max(request.length - cut, 0)), ...tail);
    for (const [at, value] of edits) if (bytes.length > 0) bytes[at % bytes.length] = value;
    if (honest && bytes.length >= HEADER_BYTES) {
      new DataView(bytes.buffer).setUint32(2, bytes.length);
    }
    return bytes;
  });

const states = [undefined, endorsed(), owned(), withIndices()];

test('whatever a guest sends, it gets a response, and nothing breaks', t => {
  const property = fc.property(
    fc.constantFrom(...states),
    fc.array(fc.tuple(mutated, fc.nat(4)), { minLength: 1, maxLength: 30 }),
    (permall, sent) => {
      const nvram = new MemoryNvram();
      if (permall !== undefined) nvram.blobs.set('permall', permall);
      const rig = new Rig(nvram, { generateKey: fixedKey }).start();
      for (const [request, locality] of sent) {
        const before = toHex(nvram.permall);
        rig.locality = locality;
        const response = rig.transmit(request);
        const view = new DataView(response.buffer, response.byteOffset, response.length);
        const result = view.getUint32(6);
        const sound =
          response.length >= HEADER_BYTES &&
          response.length <= 4096 &&
          [0x00c4, 0x00c5, 0x00c6].includes(view.getUint16(0)) &&
          view.getUint32(2) === response.length &&
          result !== FAIL &&
          (result === SUCCESS || response.length === HEADER_BYTES) &&
          (result === SUCCESS || toHex(nvram.permall) === before);
        if (!sound) throw new Error(`${toHex(request)} gave ${toHex(response)}`);
      }
    },
  );
  t.notThrows(() => fc.assert(property, { numRuns: 400 }));
});
