/**
 * The scenarios still are what was recorded: each one meets the recorded responses again, and must
 * make the recorded requests, in the same order, under the same names, from the same state.
 */
import test from 'ava';
import { hex } from '../../lab/files.js';
import { Recorder, type Reference } from '../../lab/recorder/recorder.js';
import {
  type Exchange,
  nameOf,
  resultOf,
  type Step,
  stateOf,
  transcript,
  transcripts,
} from '../../lab/recorder/transcript.js';
import { SCENARIOS } from '../../lab/scenarios/scenarios.js';

/** A TPM that has the recorded responses, one after another. */
function recorded(steps: readonly Step[], last: string): Reference {
  const responses = steps.flatMap(step => (step.event === undefined ? [step.response] : []));
  return {
    transmit: () => hex(responses.shift() ?? ''),
    powerCut: () => {},
    hash: () => {},
    setLocality: () => {},
    storesFail: () => {},
    finish: () => hex(last),
  };
}

/** Commands that carry what the guest encrypted under random padding, and an HMAC over it. */
const ENCRYPTED: readonly string[] = [
  'TPM_ActivateIdentity',
  'TPM_ChangeAuthAsymFinish',
  'TPM_DAA_Join',
  'TPM_MigrateKey',
  'TPM_TakeOwnership',
  'TPM_UnBind',
];
const NONCE_DIGITS = 2 * 20;

/**
 * A request without what may differ. A TPM_OSAP that is refused has no use for its nonce, and that
 * differs in `signing`, whose recorder drew one also for each session that was not opened.
 */
function fixed(step: Exchange): string {
  if (ENCRYPTED.includes(nameOf(step))) return `${step.request.length / 2} bytes`;
  const isUnused = nameOf(step) === 'TPM_OSAP' && resultOf(step) !== 'TPM_SUCCESS';
  return isUnused ? step.request.slice(0, -NONCE_DIGITS) : step.request;
}

/** A step as it is compared. */
const comparable = (step: Step): unknown =>
  step.event === undefined ? { ...step, request: fixed(step) } : step;

test('every scenario is recorded, and every transcript has its scenario', t => {
  t.deepEqual(SCENARIOS.map(({ name }) => name).sort(), transcripts());
});

for (const { name, about, from, run } of SCENARIOS) {
  test(`the scenario ${name} makes the recorded requests`, t => {
    const expected = transcript(name);
    t.is(about, expected.about);
    t.is(stateOf(from), expected.startsFrom);
    const recorder = new Recorder(name, recorded(expected.steps, expected.endsWith));
    run(recorder);
    const { steps, endsWith } = recorder.finish();
    t.deepEqual(steps.map(comparable), expected.steps.map(comparable));
    t.is(endsWith, expected.endsWith);
  });
}
