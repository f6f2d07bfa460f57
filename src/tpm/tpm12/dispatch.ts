/**
 * Runs a command (TPM Main Part 3, §1; the order of checks is libtpms's): header, what the TPM does
 * before any command, parameters, availability, authorisation, the command itself, the store, the
 * response, the audit. It is the one place where a fault becomes a result code; anything else that
 * is thrown is a bug, and passes through.
 * @module
 */
import { encode, Reader, u32 } from '../../wire/codec.js';
import { sha1 } from '../crypto/hash.js';
import type { StateError, StoreFailure } from '../engine.js';
import { hostTrouble } from '../kernel/fault.js';
import { frame, frameHeader, HEADER_BYTES } from '../kernel/frame.js';
import { isAudited } from './audit-log.js';
import { audit } from './audit-trail.js';
import { GuestAuth, type Trailer, trailer } from './auth/guest-auth.js';
import { demandNoLockout } from './auth/lockout.js';
import { TransportAuth } from './auth/transport-auth.js';
import { endExclusive } from './auth/transport-session.js';
import { Call } from './call.js';
import { type Availability, type Command, WHEN } from './command.js';
import type { CommandTable } from './command-table.js';
import type { Environment } from './environment.js';
import { LIMITS } from './limits.js';
import { rollBack, store } from './permanent-store.js';
import { demand, TpmFault, TpmResult } from './results.js';
import { TestState } from './state/state.js';
import { parse } from './structures/parsing.js';
import type { TransportSession } from './structures/transport-public.js';
import { RESPONSE_TAG_OFFSET, Tag } from './structures/types.js';

/** The response to a command, and what a trace reports of it. */
interface Execution {
  readonly response: Uint8Array;
  readonly ordinal: number;
  readonly result: number;
  /** The trouble of the host that the command met, if it did. */
  readonly failure: StoreFailure | StateError | undefined;
}

/**
 * Runs one command to its end. The response is well-formed whatever the request is.
 * @param through the transport session that the command came through
 */
export function execute(
  commands: CommandTable,
  tpm: Environment,
  request: Uint8Array,
  locality: number,
  through?: TransportSession,
): Execution {
  let ordinal = 0;
  let refusalTag: number = Tag.COMMAND + RESPONSE_TAG_OFFSET;
  try {
    const head = parse(frameHeader, new Reader(request));
    ordinal = head.code;
    demand(request.length <= LIMITS.bufferBytes, 'BAD_PARAM_SIZE');
    demand(head.size === request.length, 'BAD_PARAM_SIZE');
    const found = commands.get(ordinal);
    prepare(tpm, found, through);
    // The tag of a refusal follows the request only where no guest's command is refused.
    if (found === undefined || found.platform === true) refusalTag = responseTag(head.tag);
    demand(found !== undefined, 'BAD_ORDINAL');
    const response = run(found, tpm, head.tag, request.subarray(HEADER_BYTES), locality, through);
    demand(response.length <= LIMITS.bufferBytes, 'SIZE');
    return { response, ordinal, result: TpmResult.SUCCESS, failure: undefined };
  } catch (error) {
    const failure = error instanceof TpmFault ? undefined : hostTrouble(error);
    const result = error instanceof TpmFault ? error.result : TpmResult.FAIL;
    if (result === TpmResult.FAIL) tpm.state.testState = TestState.FAILURE;
    return { response: frame(refusalTag, result), ordinal, result, failure };
  }
}

const responseTag = (tag: number): number =>
  (tag >= Tag.COMMAND && tag <= Tag.AUTH2 ? tag : Tag.COMMAND) + RESPONSE_TAG_OFFSET;

/** What the TPM does before any command: it completes its self-test, and forgets a saved state. */
function prepare(
  tpm: Environment,
  command: Command | undefined,
  through: TransportSession | undefined,
): void {
  const { state } = tpm;
  if (state.testState === TestState.LIMITED && command?.selfTest === undefined) {
    state.testState = TestState.FULL;
  }
  const continues =
    command?.sha1 === 'carries' ||
    (command?.sha1 === 'continues' && state.sha1Transport === (through?.transHandle ?? 0));
  if (!continues) state.sha1Thread = undefined;
  if (state.stany.stateSaved && command?.savedState === undefined) {
    tpm.nvram.delete('savestate');
    state.stany.stateSaved = false;
  }
  // What a transport session authorises says by its own handle whether it ends the exclusive one.
  const authorised = command?.transport?.authorises === true;
  if (through === undefined && !authorised) endExclusive(state);
}

function run(
  command: Command,
  tpm: Environment,
  tag: number,
  body: Uint8Array,
  locality: number,
  through: TransportSession | undefined,
): Uint8Array {
  const call = new Call(tpm, command, locality, through);
  let refused = true;
  try {
    const input = admit(call, command, tag, body);
    const output = settle(call, () => command.run(call, input));
    const answer = finish(call, command, tag, encode(command.output, output));
    refused = false;
    return answer;
  } finally {
    close(call, command, refused, body);
  }
}

/** Ends the command; its sessions are closed whatever `after` meets. */
function close(call: Call, command: Command, refused: boolean, body: Uint8Array): void {
  let failed = true;
  try {
    command.after?.(call, refused, body);
    failed = false;
  } finally {
    call.close(refused || failed);
  }
}

/** Everything that is checked of a command before it runs. */
function admit(call: Call, command: Command, tag: number, body: Uint8Array): object {
  const { tpm } = call;
  const from = new Reader(body);
  const input = parse(command.input, from);
  const covered = body.subarray(command.handleBytes.input, from.at);
  // A digest costs as much as a small command: only where it goes into an HMAC, or is audited.
  if (tag !== Tag.COMMAND || isAudited(tpm.state, command.ordinal)) {
    call.inParamDigest = sha1(encode(u32, command.ordinal), covered);
  }
  demandAvailable(tpm, WHEN[command.when], tag);
  demand(command.tags.includes(tag), 'BADTAG');
  authorise(call, command, parseTrailers(call, command, tag - Tag.COMMAND, from));
  return input;
}

/** The authorisations behind the parameters, and nothing behind them. */
function parseTrailers(call: Call, command: Command, count: number, from: Reader): Trailer[] {
  const trailers: Trailer[] = [];
  try {
    while (trailers.length < count) trailers.push(parse(trailer, from));
    demand(from.left === 0, 'BAD_PARAM_SIZE');
  } catch (error) {
    // What does not parse ends no session, but for one command, whose key's session libtpms ends.
    const [first] = command.malformed !== undefined && count === 2 ? trailers : [];
    if (first !== undefined) call.state.stclear.authSessions.remove(first.authHandle);
    throw error;
  }
  return trailers;
}

/** Notes whose authorisations came; the last one may be that of a transport session. */
function authorise(call: Call, command: Command, trailers: readonly Trailer[]): void {
  const auths = trailers.map(guest => new GuestAuth(call, guest));
  const transport = command.transport?.authorises === true ? auths.pop() : undefined;
  // The tag was checked: there are as many as the record asks for.
  call.auths = auths as unknown as Call['auths'];
  if (transport === undefined) return;
  call.transportHandle = transport.handle;
  call.transportAuth = new TransportAuth(call, transport);
}

function demandAvailable(tpm: Environment, when: Availability, tag: number): void {
  const { testState, stany, stclearFlags, permanent } = tpm.state;
  if (when.locksOut && tag !== Tag.COMMAND) demandNoLockout(tpm);
  if (when.working) demand(testState !== TestState.FAILURE, 'FAILEDSELFTEST');
  if (when.started) demand(!stany.postInitialise, 'INVALID_POSTINIT');
  const open = when.unlockedNv === true && !permanent.flags.nvLocked;
  if (when.enabled && !open) demand(!permanent.flags.disable, 'DISABLED');
  if (when.activated && !open) demand(!stclearFlags.deactivated, 'DEACTIVATED');
  if (when.owned) demand(permanent.data.ownerInstalled, 'NOSRK');
}

/** Runs the command, and stores what it altered, or rolls that back where it failed. */
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

/** The response: output, authorisation, audit. */
function finish(call: Call, command: Command, tag: number, output: Uint8Array): Uint8Array {
  const { ordinal, handleBytes, audited } = command;
  const auths = [...call.auths, ...(call.transportAuth ? [call.transportAuth] : [])];
  const isToAudit = audited !== 'by the command itself' && isAudited(call.state, ordinal);
  if (auths.length === 0 && !isToAudit) {
    return frame(responseTag(tag), TpmResult.SUCCESS, output);
  }
  const covered = output.subarray(handleBytes.output);
  const success = encode(u32, TpmResult.SUCCESS);
  const digest = call.outParamDigest ?? sha1(success, encode(u32, ordinal), covered);
  const trail = auths.map(auth => auth.answer(digest));
  if (isToAudit) audit(call, digest);
  return frame(responseTag(tag), TpmResult.SUCCESS, output, ...trail);
}
