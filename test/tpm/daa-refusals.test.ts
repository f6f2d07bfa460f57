/**
 * What TPM_DAA_Join and TPM_DAA_Sign refuse, stage by stage, and with which result code: wrong sizes,
 * wrong digests, wrong stages, wrong sessions, before swtpm 0.7.1 and this engine at once.
 * @long
 */
import type { ExecutionContext } from 'ava';
import { daaSign, type Input, Issuer, join, type Membership } from '../../lab/reference/daa.js';
import { type DaaHost, type DaaName, hostOfBoth, resultOf } from '../../lab/reference/daa-host.js';
import { CAP, commands, RESOURCE } from '../../src/guest/index.js';
import { concat, Reader } from '../../src/wire/codec.js';
import { peerTest } from '../_peers.js';
import { sharedSwtpm } from '../_swtpm.js';

const theirs = sharedSwtpm();

const ZERO = Uint8Array.of(0);
const WRONG = new Uint8Array(20).fill(0xee);
const issuer = new Issuer();

interface Sent extends Input {
  readonly name: DaaName;
  readonly handle: number;
  readonly secret?: Uint8Array;
}

const flip = (bytes: Uint8Array): Uint8Array =>
  bytes.map((byte, at) => (at === 0 ? byte ^ 1 : byte));
const ofData =
  (spoil: (data: Uint8Array) => Uint8Array, which: 'data0' | 'data1') => (sent: Sent) => ({
    ...sent,
    [which]: spoil(sent[which]),
  });
const other = { DAA_Join: 'DAA_Sign', DAA_Sign: 'DAA_Join' } as const;

/** What is done to the command that is due. */
// biome-ignore format: table
const SPOILS: Readonly<Record<string, (sent: Sent) => Sent>> = {
  'first input changed':    ofData(flip, 'data0'),
  'first input cut off':    ofData(data => data.slice(0, -1), 'data0'),
  'first input too long':   ofData(data => concat(data, ZERO), 'data0'),
  'first input missing':    ofData(() => new Uint8Array(), 'data0'),
  'second input changed':   ofData(flip, 'data1'),
  'second input cut off':   ofData(data => data.slice(0, -1), 'data1'),
  'second input too long':  ofData(data => concat(data, ZERO), 'data1'),
  'next stage':             sent => ({ ...sent, stage: sent.stage + 1 }),
  'stage 0':                sent => ({ ...sent, stage: 0 }),
  'stage 25':               sent => ({ ...sent, stage: 25 }),
  'stage 255':              sent => ({ ...sent, stage: 255 }),
  'another handle':         sent => ({ ...sent, handle: (sent.handle ^ 1) >>> 0 }),
  'the other command':      sent => ({ ...sent, name: other[sent.name] }),
  'a wrong secret':         sent => ({ ...sent, secret: WRONG }),
};
/** What says the same at every stage is tried at some. */
const GENERAL = ['stage 0', 'stage 25', 'stage 255', 'another handle', 'a wrong secret'];
const SOME = [0, 1, 4, 13, 24];

/** Whether a spoil has anything to spoil. */
const applies = (what: string, { stage, data0, data1 }: Input): boolean => {
  if (what.startsWith('first')) return data0.length > 0;
  if (what.startsWith('second')) return data1.length > 0;
  return !GENERAL.includes(what) || SOME.includes(stage);
};

/** Ends the sessions that are left, and thereby tells of them. */
function endAll({ client }: DaaHost): void {
  const left = new Reader(client.run(commands.getCapability(CAP.HANDLE, RESOURCE.DAA)));
  for (let count = left.uint(2); count > 0; count -= 1) {
    client.run(commands.flushSpecific(left.uint(4), RESOURCE.DAA));
  }
}

function refusals(t: ExecutionContext, name: DaaName, stages: number): string[] {
  const { host, mirror, ek } = hostOfBoth(theirs());
  const member: Membership = host.run('DAA_Join', join(issuer, ek));
  const met = new Set<string>();
  for (let stage = 0; stage < stages; stage += 1) {
    const due = (): Input => {
      const options = { checks: false };
      const dialogue =
        name === 'DAA_Join' ? join(issuer, ek, options) : daaSign(issuer, member, options);
      return host.runUntil(name, dialogue, stage);
    };
    // A refusal ends the session, so each spoil needs one that has come to the stage.
    let input = due();
    for (const what of Object.keys(SPOILS).filter(one => applies(one, input))) {
      const command = { ...input, name, handle: host.handle };
      const { name: sent, handle, secret, ...spoilt } = SPOILS[what]!(command);
      const options = { handle, ...(secret && { secret }) };
      met.add(resultOf(() => host.send(sent, spoilt, options)));
      endAll(host);
      t.deepEqual(mirror.differences, [], `${what}, stage ${stage}`);
      input = due();
    }
    endAll(host);
    t.deepEqual(mirror.differences, [], `stage ${stage}`);
  }
  return [...met].toSorted();
}

/** Every result that a guest can bring about by what it sends at one stage. */
const COMMON = [
  'TPM_AUTHFAIL',
  'TPM_BAD_HANDLE',
  'TPM_DAA_INPUT_DATA0',
  'TPM_DAA_INPUT_DATA1',
  'TPM_DAA_STAGE',
  'TPM_DAA_TPM_SETTINGS',
  'TPM_DAA_WRONG_W',
  'TPM_SUCCESS',
];

peerTest('what TPM_DAA_Join refuses, at each of its stages', ['swtpm'], t => {
  const met = refusals(t, 'DAA_Join', 25);
  const wanted = [...COMMON, 'TPM_DAA_ISSUER_VALIDITY', 'TPM_DECRYPT_ERROR'];
  t.deepEqual(met, wanted.toSorted());
});

peerTest('what TPM_DAA_Sign refuses, at each of its stages', ['swtpm'], t => {
  t.deepEqual(refusals(t, 'DAA_Sign', 16), COMMON);
});

peerTest('a blob counts to the last bit, and for one thing only', ['swtpm'], t => {
  const { host, mirror, ek } = hostOfBoth(theirs());
  const member = host.run('DAA_Join', join(issuer, ek));
  const refused = (stage: number, data0: Uint8Array): void => {
    const input = host.runUntil('DAA_Sign', daaSign(issuer, member, { checks: false }), stage);
    const result = resultOf(() => host.send('DAA_Sign', { ...input, data0 }));
    t.is(result, 'TPM_DAA_INPUT_DATA0', `stage ${stage}`);
    t.deepEqual(mirror.differences, []);
  };
  const { specific, v0, v1 } = member;
  const bits = specific.map((_, at) => at).filter(at => at % 13 === 0);
  for (const at of bits) refused(1, specific.with(at, specific[at]! ^ 0x10));
  for (const blob of [v0, v1]) refused(1, blob);
  for (const blob of [specific, v1]) refused(13, blob);
  for (const blob of [specific, v1]) refused(14, blob);
  for (const blob of [specific, v0]) refused(15, blob);
  const other = host.run('DAA_Join', join(issuer, ek, { count: 8 }));
  refused(13, other.v0);
  refused(14, other.v0);
  refused(15, other.v1);
});
