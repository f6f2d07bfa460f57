/**
 * The way of every command (TPM Main Part 3, §1; the order of checks is libtpms's): header, what the
 * TPM does before any command, parameters, availability, authorisation, the command itself, the
 * store, the answer, the audit. It is the one place where a fault becomes a result code; anything
 * else that is thrown is a bug, and passes through.
 * @module
 */
import { type Codec, concat, encode, Reader, struct, u16, u32 } from '../../wire/codec.js';
import { sha1 } from '../crypto/hash.js';
import { StateError, StoreFailure } from '../engine.js';
import { isAudited } from './audit-log.js';
import { audit } from './audit-trail.js';
import { GuestAuth, type Trailer, trailer } from './auth/guest-auth.js';
import { demandNoLockout } from './auth/lockout.js';
import { endExclusive } from './auth/transport-session.js';
import { Call } from './call.js';
import { type AnyCommand, type Availability, WHEN } from './command.js';
import type { Tpm } from './environment.js';
import { LIMITS } from './limits.js';
import { rollBack, store } from './permanent-store.js';
import { demand, TpmFault, TpmResult } from './results.js';
import { TestState } from './state/state.js';
import { parse } from './structures/parsing.js';
import type { TransportSession } from './structures/transport-public.js';

/** Part 2 §6.1: the tags of requests; a response has the tag of its request plus 3. */
const Tag = { COMMAND: 0x00c1, AUTH1: 0x00c2, AUTH2: 0x00c3 } as const;

const TO_RESPONSE = 3;

const ORDINAL_INIT = 0x97;

const ORDINAL_STARTUP = 0x99;

const ORDINAL_SAVE_STATE = 0x98;

const header = struct({ tag: u16, paramSize: u32, code: u32 });

const HEADER_BYTES = 10;

export type Commands = ReadonlyMap<number, AnyCommand>;

/** The answer to a command, and what it was, for those who watch. */
interface Execution {
  readonly response: Uint8Array;
  readonly ordinal: number;
  readonly result: number;
  /** The host trouble that the command ran into, if it did. */
  readonly failure: StoreFailure | StateError | undefined;
}

/** Runs one command to its end. Whatever the guest sent, the response is well-formed. */
export function execute(
  commands: Commands,
  tpm: Tpm,
  request: Uint8Array,
  locality: number,
  through?: TransportSession,
): Execution {
  let ordinal = 0;
  let refusalTag: number = Tag.COMMAND + TO_RESPONSE;
  try {
    const head = parse(header, new Reader(request));
    ordinal = head.code;
    demand(head.paramSize === request.length, 'BAD_PARAM_SIZE');
    prepare(tpm, ordinal, through);
    const found = commands.get(ordinal);
    // The tag of a refusal follows the request only where no guest's command is refused.
    if (found === undefined || ordinal === ORDINAL_INIT) refusalTag = responseTag(head.tag);
    demand(found !== undefined, 'BAD_ORDINAL');
    const response = run(found, tpm, head.tag, request.subarray(HEADER_BYTES), locality, through);
    demand(response.length <= LIMITS.bufferBytes, 'SIZE');
    return { response, ordinal, result: TpmResult.SUCCESS, failure: undefined };
  } catch (error) {
    const result = resultOf(error);
    if (result === TpmResult.FAIL) tpm.state.testState = TestState.FAILURE;
    const response = respond(refusalTag, result);
    const failure = error instanceof TpmFault ? undefined : hostTrouble(error);
    return { response, ordinal, result, failure };
  }
}

/** The result code that a fault of the guest, or a trouble of the host, becomes. */
function resultOf(error: unknown): number {
  if (error instanceof TpmFault) return error.result;
  hostTrouble(error);
  return TpmResult.FAIL;
}

export function hostTrouble(error: unknown): StoreFailure | StateError {
  if (error instanceof StoreFailure || error instanceof StateError) return error;
  throw error;
}

const responseTag = (tag: number): number =>
  (tag >= Tag.COMMAND && tag <= Tag.AUTH2 ? tag : Tag.COMMAND) + TO_RESPONSE;

function respond(tag: number, code: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const rest = concat(...parts);
  return concat(encode(header, { tag, paramSize: HEADER_BYTES + rest.length, code }), rest);
}

/** What runs before the self-test has to be complete (Part 3, §4.2). */
// biome-ignore format: table
const LIMITED_ORDINALS = new Set([
  ORDINAL_STARTUP, 0xa0, 0xa1, 0xa2, 0xa3, // TPM_SHA1Start and its followers
  0x14, 0x50, 0x53, 0x54, 0x65,            // Extend, SelfTestFull, ContinueSelfTest, GetTestResult, GetCapability
  0x4000_000a, 0x4000_000b,                // the connection commands
]);

const ORDINAL_EXECUTE_TRANSPORT = 0xe7;

const ORDINAL_RELEASE_TRANSPORT = 0xe8;

/** What tells by its own handle whether it ends the exclusive transport session. */
const USES_TRANSPORT = new Set([ORDINAL_EXECUTE_TRANSPORT, ORDINAL_RELEASE_TRANSPORT]);

/** What does not end a hash that TPM_SHA1Start began. */
const SHA1_FOLLOWERS = new Set([0xa1, 0xa2, 0xa3]);

/** What the TPM does before any command: it completes its self-test, and forgets a saved state. */
function prepare(tpm: Tpm, ordinal: number, through: TransportSession | undefined): void {
  const { state } = tpm;
  if (state.testState === TestState.LIMITED && !LIMITED_ORDINALS.has(ordinal)) {
    state.testState = TestState.FULL;
  }
  const goesOn =
    ordinal === ORDINAL_EXECUTE_TRANSPORT ||
    (SHA1_FOLLOWERS.has(ordinal) && state.sha1Transport === (through?.transHandle ?? 0));
  if (!goesOn) state.sha1Thread = undefined;
  if (state.stany.stateSaved && ordinal !== ORDINAL_STARTUP) {
    tpm.nvram.delete('savestate');
    state.stany.stateSaved = false;
  }
  if (through === undefined && !USES_TRANSPORT.has(ordinal)) endExclusive(state);
}

function run(
  command: AnyCommand,
  tpm: Tpm,
  tag: number,
  body: Uint8Array,
  locality: number,
  through: TransportSession | undefined,
): Uint8Array {
  const call = new Call(tpm, command.ordinal, locality, through);
  let refused = true;
  try {
    const input = admit(call, command, tag, body);
    const output = settle(call, () => command.run(call, input));
    const answer = finish(call, command, tag, encode(command.output, output));
    refused = false;
    return answer;
  } finally {
    command.after?.(call, refused, body);
    call.close(refused);
  }
}

/** Everything that is asked of a command before it runs. */
function admit(call: Call, command: AnyCommand, tag: number, body: Uint8Array): unknown {
  const { tpm } = call;
  const from = new Reader(body);
  const input = parse(command.input as Codec<unknown>, from);
  const covered = body.subarray(command.handleBytes?.input ?? 0, from.at);
  // A digest costs as much as a small command: only where it goes into an HMAC, or is audited.
  if (tag !== Tag.COMMAND || isAudited(tpm.state, command.ordinal)) {
    call.inParamDigest = sha1(encode(u32, command.ordinal), covered);
  }
  demandAvailable(tpm, WHEN[command.when], tag);
  demand(tagsOf(command).includes(tag), 'BADTAG');
  call.auths = parseAuths(call, command.ordinal, tag - Tag.COMMAND, from);
  return input;
}

/** The authorisations behind the parameters, and nothing behind them. */
function parseAuths(call: Call, ordinal: number, count: number, from: Reader): GuestAuth[] {
  const trailers: Trailer[] = [];
  try {
    while (trailers.length < count) trailers.push(parse(trailer, from));
    demand(from.left === 0, 'BAD_PARAM_SIZE');
  } catch (error) {
    // What does not parse ends no session, but for this command, whose key's session libtpms ends.
    const [first] = ordinal === ORDINAL_RELEASE_TRANSPORT && count === 2 ? trailers : [];
    if (first !== undefined) call.state.stclear.authSessions.remove(first.authHandle);
    throw error;
  }
  return trailers.map(guest => new GuestAuth(call, guest));
}

const TAGS: Readonly<Record<AnyCommand['auth'], readonly number[]>> = {
  none: [Tag.COMMAND],
  one: [Tag.AUTH1],
  two: [Tag.AUTH2],
  optional: [Tag.COMMAND, Tag.AUTH1],
  oneOrTwo: [Tag.AUTH1, Tag.AUTH2],
  upToTwo: [Tag.COMMAND, Tag.AUTH1, Tag.AUTH2],
};

const tagsOf = (command: AnyCommand): readonly number[] => TAGS[command.auth];

function demandAvailable(tpm: Tpm, when: Availability, tag: number): void {
  const { testState, stany, stclearFlags, permanent } = tpm.state;
  if (when.locksOut && tag !== Tag.COMMAND) demandNoLockout(tpm);
  if (when.working) demand(testState !== TestState.FAILURE, 'FAILEDSELFTEST');
  if (when.started) demand(!stany.postInitialise, 'INVALID_POSTINIT');
  const open = when.unlockedNv === true && !permanent.flags.nvLocked;
  if (when.enabled && !open) demand(!permanent.flags.disable, 'DISABLED');
  if (when.activated && !open) demand(!stclearFlags.deactivated, 'DEACTIVATED');
  if (when.owned) demand(permanent.data.ownerInstalled, 'NOSRK');
}

/** Runs the command, and stores what it altered, or takes it back where the command failed. */
function settle<T>(call: Call, act: () => T): T {
  let output: T;
  try {
    output = act();
  } catch (error) {
    if (call.altered && error instanceof TpmFault) rollBack(call.tpm);
    throw error;
  }
  if (call.altered) store(call.tpm);
  return output;
}

/** The answer: output, authorisation, audit. */
function finish(call: Call, command: AnyCommand, tag: number, output: Uint8Array): Uint8Array {
  const auths = [...call.auths, ...(call.transportAuth ? [call.transportAuth] : [])];
  const isToAudit =
    isAudited(call.state, command.ordinal) && command.ordinal !== ORDINAL_SAVE_STATE;
  if (auths.length === 0 && !isToAudit) {
    return respond(responseTag(tag), TpmResult.SUCCESS, output);
  }
  const covered = output.subarray(command.handleBytes?.output ?? 0);
  const success = encode(u32, TpmResult.SUCCESS);
  const digest = call.outParamDigest ?? sha1(success, encode(u32, command.ordinal), covered);
  const trail = auths.map(auth => auth.answer(digest));
  if (isToAudit) audit(call, digest);
  return respond(responseTag(tag), TpmResult.SUCCESS, output, ...trail);
}
