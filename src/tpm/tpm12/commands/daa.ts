/**
 * Direct anonymous attestation (TPM Main Part 3, §26): TPM_DAA_Join and TPM_DAA_Sign, both a
 * command that is sent once for every stage. What the stages do is in daa-join.ts and daa-sign.ts;
 * here is what they have in common: the session, the digests over it, and its end.
 * @module
 */
import { encode, equal, Reader, struct, u8, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { JOIN_STAGES, joinsOn } from '../daa/join.js';
import type { Stage } from '../daa/proof.js';
import { SIGN_STAGES } from '../daa/sign.js';
import { demand } from '../results.js';
import { type DaaSession, freshDaa } from '../state/daa-session.js';
import { sizedBuffer } from '../structures/codecs.js';
import { daaIssuer, daaJoinData, daaTpm } from '../structures/daa-issuer.js';

/** One of the two commands. */
interface Protocol {
  readonly stages: readonly Stage[];
  /** What the digest of a session is over, from which stage on it must be right. */
  readonly contextOf: (session: DaaSession) => Uint8Array;
  readonly contextFrom: number;
  /** From which stage on the session must know its issuer. */
  readonly issuerFrom: number;
  /** Whether the stage that was just done comes again. */
  readonly staysAt: (session: DaaSession) => boolean;
}

const JOIN: Protocol = {
  stages: JOIN_STAGES,
  contextOf: ({ specific, join }) => sha1(encode(daaTpm, specific), encode(daaJoinData, join)),
  contextFrom: 1,
  issuerFrom: 3,
  staysAt: joinsOn,
};

const SIGN: Protocol = {
  stages: SIGN_STAGES,
  contextOf: ({ specific }) => sha1(encode(daaTpm, specific)),
  contextFrom: 2,
  issuerFrom: 2,
  staysAt: () => false,
};

const NAMED = struct({ handle: u32, stage: u8 });

/** What both commands are. */
const daaCommand = (ordinal: 'DAA_Join' | 'DAA_Sign', ownerBit: number, protocol: Protocol) =>
  command({
    ordinal,
    auth: 'one',
    when: 'owned',
    delegable: { owner: ownerBit },
    handles: { handle: 'daa' },
    input: { stage: u8, inputData0: sizedBuffer, inputData1: sizedBuffer },
    output: { outputData: sizedBuffer },
    run(call, { handle, stage, inputData0: data0, inputData1: data1 }) {
      call.authoriseOwner();
      const session = sessionFor(call, protocol, handle, stage);
      const perform = protocol.stages[stage];
      demand(perform !== undefined, 'DAA_STAGE');
      const outputData = perform({ call, session, data0, data1 });
      return { outputData: goOn(call, protocol, session, stage, outputData) };
    },
    after: endRefused,
  });

/** The session that a command names, where it may go on with this stage; at first a new one. */
function sessionFor(
  { state }: Call,
  { contextOf, contextFrom, issuerFrom }: Protocol,
  handle: number,
  stage: number,
): DaaSession {
  const { daaSessions } = state.stclear;
  if (stage === 0) {
    daaSessions.demandPlace();
    return freshDaa();
  }
  const session = daaSessions.find(handle);
  demand(session !== undefined, 'BAD_HANDLE');
  const { context, specific, issuer } = session;
  demand(context.stage === stage, 'DAA_STAGE');
  if (stage >= contextFrom) {
    demand(equal(contextOf(session), context.digestContext), 'DAA_TPM_SETTINGS');
  }
  if (stage >= issuerFrom) {
    const known = equal(sha1(encode(daaIssuer, issuer)), specific.digestIssuer);
    demand(known, 'DAA_ISSUER_SETTINGS');
  }
  return session;
}

/** Records that a stage is done. Returns the output: of the first stage, the handle. */
function goOn(
  { tpm, state }: Call,
  { stages, contextOf, contextFrom, staysAt }: Protocol,
  session: DaaSession,
  stage: number,
  outputData: Uint8Array,
): Uint8Array {
  const { daaSessions } = state.stclear;
  if (stage >= contextFrom - 1) session.context.digestContext = contextOf(session);
  if (!staysAt(session)) session.context.stage += 1;
  if (stage === 0) return encode(u32, daaSessions.add(session, tpm.entropy).handle);
  if (stage === stages.length - 1) daaSessions.remove(session.handle);
  return outputData;
}

/**
 * Any refusal ends the session that the command named, whatever the reason: libtpms
 * does so as soon as it could read the stage.
 */
function endRefused({ state }: Call, refused: boolean, body: Uint8Array): void {
  if (!refused || body.length < NAMED.size!) return;
  const { handle, stage } = NAMED.read(new Reader(body));
  if (stage > 0) state.stclear.daaSessions.remove(handle);
}

/** Makes this TPM a member of an issuer's group. */
export const daaJoin = daaCommand('DAA_Join', 23, JOIN);

/** Signs as a member of the group. */
export const daaSign = daaCommand('DAA_Sign', 0, SIGN);
