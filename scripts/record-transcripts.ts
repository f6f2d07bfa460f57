/**
 * Records fixtures/transcripts/*.json from swtpm: `npm run build && node
 * dist/scripts/record-transcripts.js [NAME…]`. Needs swtpm (scripts/peers.sh).
 * @module
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../lab/files.js';
import { AREA, OWNER, Recorder, type Scenario, SRK, toHex } from '../lab/recorder/recorder.js';
import { writeSums } from '../lab/recorder/sums.js';
import type { Transcript } from '../lab/recorder/transcript.js';
import { SCENARIOS } from '../lab/scenarios/scenarios.js';
import { commands, STARTUP } from '../src/guest/index.js';

const SOURCE = 'swtpm 0.7.1 (libtpms 0.9.2), TPM 1.2';
const RECORDED_BY = 'scripts/record-transcripts.ts';

/** The states that scenarios start from: made once a run, so that their keys agree. */
function makeStates(): Record<Scenario['from'], Uint8Array | undefined> {
  const blank = new Recorder('blank', undefined);
  blank.do('startup', commands.startup(STARTUP.CLEAR));
  blank.as('create the EK', client => client.createEndorsementKeyPair());
  const ek = blank.finish().permall;
  const keyed = new Recorder('keyed', ek);
  keyed.do('startup', commands.startup(STARTUP.CLEAR));
  keyed.as('take ownership', client => client.takeOwnership(OWNER, SRK));
  return { nothing: undefined, ek, owned: keyed.finish().permall };
}

/** The states that the recorded scenarios start from. */
function recordedStates(): Record<Scenario['from'], Uint8Array | undefined> {
  const startOf = (name: string): Uint8Array => {
    const text = readFileSync(join(FOLDER, `${name}.json`), 'utf8');
    return new Uint8Array(Buffer.from((JSON.parse(text) as Transcript).startsFrom!, 'hex'));
  };
  return {
    nothing: undefined,
    ek: startOf('ownership-session'),
    owned: startOf('owner-commands'),
  };
}

const FOLDER = join(ROOT, 'fixtures', 'transcripts');
const wanted = new Set(process.argv.slice(2));
if (wanted.size === 0) {
  for (const file of readdirSync(FOLDER)) rmSync(join(FOLDER, file));
}
// One scenario alone starts from the states that the others were recorded with.
const states = wanted.size === 0 ? makeStates() : recordedStates();
for (const { name, about, from, run } of SCENARIOS) {
  if (wanted.size > 0 && !wanted.has(name)) continue;
  const recorder = new Recorder(name, states[from]);
  run(recorder);
  const { startsFrom, steps, endsWith } = recorder.finish();
  const transcript: Transcript = {
    source: SOURCE,
    recordedBy: RECORDED_BY,
    about,
    secrets: { owner: toHex(OWNER), srk: toHex(SRK), area: toHex(AREA) },
    startsFrom,
    steps,
    endsWith,
  };
  const path = join(FOLDER, `${name}.json`);
  writeFileSync(path, `${JSON.stringify(transcript, null, 1)}\n`);
  console.log(`${name}: ${steps.length} steps`);
}

writeSums();
