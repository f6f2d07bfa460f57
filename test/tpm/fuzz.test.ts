/**
 * The guest is the attacker. Requests that were recorded, mutated at random, in random order: nothing
 * is thrown, every response is well-formed, no guest brings the TPM down, and the permanent state is
 * another only after a command that succeeded.
 */
import test from 'ava';
import fc from 'fast-check';
import { toHex } from '../_files.js';
import { MemoryNvram } from './_memory-nvram.js';
import { HEADER_BYTES, mutated, STATES } from './_mutations.js';
import { Rig } from './_rig.js';
import { fixedKey } from './_states.js';

const SUCCESS = 0;
const FAIL = 9;

test('whatever a guest sends, it gets a response, and nothing breaks', t => {
  const property = fc.property(
    fc.constantFrom(...STATES),
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
