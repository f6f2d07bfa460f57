/** The transcripts are whole, and cover every ordinal of the client in a good use and a bad one. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { hex, ROOT } from '../../lab/files.js';
import { sums } from '../../lab/recorder/sums.js';
import { nameOf, resultOf, transcript, transcripts } from '../../lab/recorder/transcript.js';
import { ORDINALS, ordinalName } from '../../src/guest/index.js';

const FOLDER = join(ROOT, 'fixtures');
const recorded = transcripts().map(name => ({ name, ...transcript(name) }));
const steps = recorded.flatMap(({ name, steps }) => steps.map(step => ({ name, step })));

test('every fixture is as it was recorded', t => {
  t.is(sums(), readFileSync(join(FOLDER, 'SHA256SUMS'), 'utf8'));
});

test('every response is framed, and its random bytes lie inside it', t => {
  for (const { name, step } of steps) {
    if (step.event !== undefined) continue;
    const response = hex(step.response);
    t.is(new DataView(response.buffer).getUint32(2), response.length, `${name}: ${step.what}`);
    for (const { offset, length } of step.random) {
      t.true(offset >= 10 && length > 0 && offset + length <= response.length, step.what);
    }
  }
});

test('every state ends in the SHA-1 of the rest, as a permall of libtpms does', t => {
  for (const { name, startsFrom, endsWith } of recorded) {
    for (const state of [startsFrom, endsWith]) {
      if (state === null) continue;
      const bytes = hex(state);
      const sum = createHash('sha1').update(bytes.subarray(0, -20)).digest('hex');
      t.is(state.slice(-40), sum, name);
    }
  }
});

/** TPM_Init is the platform's own, and every guest is refused. */
const NEVER_WORKS: readonly number[] = [ORDINALS.Init];

test('every ordinal that is recorded is so where it works and where it is refused', t => {
  const results = new Map<string, Set<string>>();
  for (const { step } of steps) {
    if (step.event !== undefined) continue;
    const seen = results.get(nameOf(step)) ?? new Set();
    results.set(nameOf(step), seen.add(resultOf(step)));
  }
  for (const [name, ordinal] of Object.entries(ORDINALS)) {
    const seen = results.get(ordinalName(ordinal));
    if (seen === undefined || NEVER_WORKS.includes(ordinal)) continue;
    t.true(seen.has('TPM_SUCCESS'), `${name} never works`);
    t.true(seen.size > 1, `${name} is never refused`);
  }
});
