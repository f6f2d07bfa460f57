/** Requests that were recorded, and what becomes of them in the hands of an attacker. */
import fc from 'fast-check';
import { hex } from '../files.js';
import { transcript, transcripts } from '../recorder/transcript.js';
import { endorsed, owned, withIndices } from '../reference/states.js';

const requests = [
  ...new Set(
    transcripts().flatMap(name =>
      transcript(name).steps.flatMap(step => (step.event === undefined ? [step.request] : [])),
    ),
  ),
].map(hex);

export const HEADER_BYTES = 10;

/** A request as it was recorded, or with bytes changed, cut off or added, or a size that lies. */
export const mutated = fc
  .record({
    request: fc.constantFrom(...requests),
    edits: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
    cut: fc.option(fc.nat(60), { nil: 0, freq: 3 }),
    tail: fc.option(fc.uint8Array({ minLength: 1, maxLength: 4 }), { nil: [], freq: 3 }),
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

/** States of swtpm's to start from; undefined for a new TPM. */
export const STATES = [undefined, endorsed(), owned(), withIndices()];
