/** Records fixtures/transcripts and fixtures/states from swtpm. @module */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commands, STARTUP } from '../../src/guest/index.js';
import { hex, ROOT } from '../files.js';
import { SCENARIOS } from '../scenarios/scenarios.js';
import { AREA, OWNER, Recorder, SRK, toHex } from './recorder.js';
import { writeSums } from './sums.js';
import { swtpmReference } from './swtpm-reference.js';
import { FOLDER, type Start, type States, stateOf, writeTranscript } from './transcript.js';

const SOURCE = {
  source: 'swtpm 0.7.1 (libtpms 0.9.2), TPM 1.2',
  recordedBy: 'scripts/record-transcripts.ts',
};
const SECRETS = { owner: toHex(OWNER), srk: toHex(SRK), area: toHex(AREA) };

/** Makes a TPM with an EK, and from that one with an owner. */
function recordStates(): void {
  const blank = new Recorder('blank', swtpmReference(undefined));
  blank.do('startup', commands.startup(STARTUP.CLEAR));
  blank.as('create the EK', client => client.createEndorsementKeyPair());
  const ek = blank.finish().endsWith;
  const keyed = new Recorder('keyed', swtpmReference(hex(ek)));
  keyed.do('startup', commands.startup(STARTUP.CLEAR));
  keyed.as('take ownership', client => client.takeOwnership(OWNER, SRK));
  const states: States = { ...SOURCE, ek, owned: keyed.finish().endsWith };
  const folder = join(ROOT, 'fixtures', 'states');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'permall.json'), `${JSON.stringify(states, null, 1)}\n`);
}

const permallOf = (start: Start): Uint8Array | undefined => {
  const state = stateOf(start);
  return state === null ? undefined : hex(state);
};

/**
 * Records the scenarios of these names, from the states that are recorded; or, without names, the
 * states and all scenarios.
 * @param tell gets a line for each scenario
 */
export function recordTranscripts(names: readonly string[], tell: (line: string) => void): void {
  if (names.length === 0) {
    for (const file of readdirSync(FOLDER)) rmSync(join(FOLDER, file));
    recordStates();
  }
  for (const { name, about, from, run } of SCENARIOS) {
    if (names.length > 0 && !names.includes(name)) continue;
    const recorder = new Recorder(name, swtpmReference(permallOf(from)));
    run(recorder);
    const recorded = recorder.finish();
    writeTranscript(name, from, { ...SOURCE, about, secrets: SECRETS, ...recorded });
    tell(`${name}: ${recorded.steps.length} steps`);
  }
  writeSums();
}
