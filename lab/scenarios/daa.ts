/**
 * Direct anonymous attestation (TPM Main Part 3, §26): a TPM joins and signs, and what it refuses.
 * Where a stage draws something that no response shows, the session leaves as a context and comes
 * back: who knows the key of contexts can read it there.
 * @module
 */
import { CAP, commands, HANDLE, PROPERTY, RESOURCE, raw } from '../../src/guest/index.js';
import { concat, encode, Reader, u32 } from '../../src/wire/codec.js';
import { OWNER, type Recorder, scenario, WRONG } from '../recorder/recorder.js';
import { type Dialogue, daaSign, type Input, Issuer, join } from '../reference/daa.js';
import { type DaaName, daaCommand } from '../reference/daa-host.js';
import { start } from './common.js';

const { byte, rawCommand } = raw;
const NONE = new Uint8Array();
const DIGEST = new Uint8Array(20).fill(0x11);
const COUNT: Input = { stage: 0, data0: encode(u32, 2), data1: NONE };

/** The stages that draw what they do not show. */
const DRAWING: Readonly<Record<DaaName, readonly number[]>> = { DAA_Join: [3, 9], DAA_Sign: [2] };

const stage = (tpm: Recorder, name: DaaName, handle: number, input: Input, secret = OWNER) =>
  tpm.auth(`TPM_${name}, stage ${input.stage}`, daaCommand(name, handle, input), secret).value;

function travel(tpm: Recorder, handle: number): void {
  const label = new Uint8Array(16);
  const save = rawCommand('SaveContext', 1, handle, RESOURCE.DAA, label);
  const saved = tpm.do('the session leaves as a context', save);
  if (saved === undefined) return;
  tpm.do('and comes back', rawCommand('LoadContext', 1, 0, byte(1), saved));
}

/** Goes through a dialogue; what it came to, if the TPM played along. */
function goThrough<T>(tpm: Recorder, name: DaaName, dialogue: Dialogue<T>): T | undefined {
  let handle = 0;
  for (let step = dialogue.next(); ; ) {
    if (step.done === true) return step.value;
    const output = stage(tpm, name, handle, step.value);
    if (output === undefined) return undefined;
    if (step.value.stage === 0) handle = u32.read(new Reader(output));
    if (DRAWING[name].includes(step.value.stage)) travel(tpm, handle);
    step = dialogue.next(output);
  }
}

function readEk(tpm: Recorder) {
  const command = commands.ownerReadInternalPub(HANDLE.EK);
  return tpm.auth('the Endorsement Key', command, OWNER).value;
}

function readSessions(tpm: Recorder, when: string): void {
  const handles = commands.getCapability(CAP.HANDLE, RESOURCE.DAA);
  tpm.do(`${when}: the handles`, handles);
  for (const name of ['MAX_DAASESS', 'DAASESS', 'DAA_INTERRUPT'] as const) {
    const property = commands.getCapability(CAP.PROPERTY, PROPERTY[name]);
    tpm.do(`${when}: TPM_CAP_PROP_${name}`, property);
  }
}

/** Opens a session of TPM_DAA_Join; its handle. */
function open(tpm: Recorder): number {
  const output = stage(tpm, 'DAA_Join', 0, COUNT);
  return output === undefined ? 0 : u32.read(new Reader(output));
}

export const DAA = [
  scenario('daa', 'owned', 'An issuer lets the TPM join, and it signs twice.', tpm => {
    start(tpm);
    const ek = readEk(tpm);
    if (ek === undefined) return;
    const issuer = new Issuer();
    const member = goThrough(tpm, 'DAA_Join', join(issuer, ek));
    if (member === undefined) return;
    readSessions(tpm, 'after it joined');
    goThrough(tpm, 'DAA_Sign', daaSign(issuer, member));
    goThrough(tpm, 'DAA_Sign', daaSign(issuer, member, { message: { digest: DIGEST } }));
  }),
  scenario('daa-refused', 'owned', 'DAA sessions come and go, and are refused.', tpm => {
    start(tpm);
    const key = new Issuer().chain[0]!.modulus;
    const next: Input = { stage: 1, data0: key, data1: NONE };
    readSessions(tpm, 'no session');
    stage(tpm, 'DAA_Join', 0, { ...COUNT, data0: encode(u32, 0) });
    stage(tpm, 'DAA_Join', 0, { ...COUNT, data0: NONE });
    stage(tpm, 'DAA_Join', 0, COUNT, WRONG);
    stage(tpm, 'DAA_Sign', 0, COUNT);
    readSessions(tpm, 'after refusals');
    const [first, second] = [open(tpm), open(tpm)];
    readSessions(tpm, 'two sessions');
    stage(tpm, 'DAA_Join', 0, COUNT);
    stage(tpm, 'DAA_Join', 0x1234, next);
    stage(tpm, 'DAA_Join', first, { ...next, stage: 2 });
    readSessions(tpm, 'a wrong stage');
    stage(tpm, 'DAA_Join', second, next);
    const plain = concat(byte(1), raw.counted(key), raw.counted(NONE));
    tpm.do('without a session', rawCommand('DAA_Join', 1, second, plain));
    readSessions(tpm, 'after it');
    const third = open(tpm);
    tpm.do('a session is flushed', commands.flushSpecific(third, RESOURCE.DAA));
    tpm.do('and again', commands.flushSpecific(third, RESOURCE.DAA));
    stage(tpm, 'DAA_Join', open(tpm), { ...next, data0: key.slice(1) });
    stage(tpm, 'DAA_Sign', open(tpm), next);
    const fourth = open(tpm);
    stage(tpm, 'DAA_Join', fourth, next);
    stage(tpm, 'DAA_Join', fourth, { ...next, data1: key });
    readSessions(tpm, 'in the end');
  }),
];
