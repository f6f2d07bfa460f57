/**
 * Every transcript that was recorded from swtpm 0.7.1 (libtpms 0.9.2), exchange by exchange, and
 * after each the permanent state, byte by byte (fixtures/README.md tells how they were made).
 */
import test from 'ava';
import { toHex } from '../../lab/files.js';
import { Replay } from '../../lab/recorder/replay.js';
import { nameOf, resultOf, transcript, transcripts } from '../../lab/recorder/transcript.js';
import { COMMANDS } from '../../src/tpm/tpm12/commands/index.js';

for (const name of transcripts()) {
  const recorded = transcript(name);
  test(`as recorded: ${name}`, t => {
    const replay = new Replay(recorded);
    replay.run(recorded.steps);
    t.deepEqual(replay.differences, []);
    t.is(toHex(replay.nvram.permall), recorded.endsWith);
  });
}

/** Those that no transcript has, answered and refused: other tests ask swtpm itself. */
const UNRECORDED = [
  'TPM_EstablishTransport',
  'TPM_ExecuteTransport',
  'TPM_GetTicks',
  'TPM_Init',
  'TPM_PCR_Reset',
  'TPM_ReleaseTransportSigned',
  'TPM_StirRandom',
  'TPM_TickStampBlob',
  'TSC_ResetEstablishmentBit',
];

test('there are transcripts of every other ordinal, answered and refused', t => {
  const met = new Map<string, Set<string>>();
  for (const name of transcripts()) {
    for (const step of transcript(name).steps) {
      if (step.event !== undefined) continue;
      const results = met.get(nameOf(step)) ?? new Set();
      met.set(nameOf(step), results.add(resultOf(step) === 'TPM_SUCCESS' ? 'answered' : 'refused'));
    }
  }
  const unmet = COMMANDS.all
    .filter(({ name }) => met.get(name)?.size !== 2)
    .map(({ name }) => name);
  t.deepEqual(unmet.toSorted(), UNRECORDED);
});
