/**
 * Transport sessions: opened in every way that there is, and in some that there are not; whatever a
 * guest does through them; logs that are signed, and sessions that leave as contexts (TPM Main Part 3,
 * §24).
 */

import { TAG } from '../../src/guest/constants.js';
import {
  commands,
  HANDLE,
  ORDINALS,
  type PubKey,
  RSA_2048,
  raw,
  TpmResponseError,
} from '../../src/guest/index.js';
import { frame } from '../../src/tpm/kernel/frame.js';
import { concat, encode, u16, u32 } from '../../src/wire/codec.js';
import { word } from '../files.js';
import {
  ALGORITHM,
  SCHEME,
  TRANSPORT,
  type Tunnel,
  unwrap,
  type Way,
  wrap,
} from '../reference/tunnel.js';
import { publicOf, SIGNING, SIGNING_DER, STORAGE } from '../scenarios/keys-common.js';
import { saveTransport } from './contexts.js';
import { type Action, type Carrier, type Family, Kept, type RandomGuest } from './guest.js';
import { wrappedHandlesOf } from './handle-bytes.js';
import { anyKey, type Held, heldKey, sealedFor, srk } from './held.js';
import { identity } from './identity.js';
import { ABSENT } from './starting.js';

const { byte, counted, rawCommand } = raw;
const n4 = (value: number): Uint8Array => encode(u32, value);

const SECRET = new Uint8Array(20).fill(0x74);
const WRONG = new Uint8Array(20).fill(0xee);
const TAG_PUBLIC = 0x1e;
const TAG_AUTH = 0x1d;
const RESOURCE = 4;
const ENCRYPT = 1;
const LOG = 2;
const EXCLUSIVE = 4;

const WAYS: readonly [Way, ...Way[]] = [
  [ALGORITHM.MGF1, SCHEME.NONE],
  [ALGORITHM.AES128, SCHEME.CTR],
  [ALGORITHM.AES128, SCHEME.OFB],
];
/** A session changes with every command. */
interface Channel {
  tunnel: Tunnel;
}
const CHANNELS = new Kept<Channel>('until the power goes');

/** A session of any kind, under a secret that comes in clear or encrypted to a key. */
function establish(guest: RandomGuest, wanted = guest.below(8)): Channel {
  const attributes = guest.wrongly(6) ? guest.below(256) : wanted;
  const way: Way = guest.wrongly(3)
    ? [guest.below(12), guest.pick([0, 1, 2, 3, 4, 5, 6, 0xff])]
    : guest.pick(WAYS);
  const inClear = guest.wrongly(6)
    ? guest.chance(2)
    : attributes % 2 !== ENCRYPT && guest.chance(2);
  const key = inClear ? undefined : keyFor(guest);
  const handle = key?.handle ?? TRANSPORT;
  const sent = key === undefined ? SECRET : sealedTo(guest, key);
  const kind = concat(encode(u16, TAG_PUBLIC), n4(attributes), n4(way[0]), encode(u16, way[1]));
  const asked = rawCommand('EstablishTransport', 1, handle, kind, counted(sent));
  const command = { ...asked, outHandleBytes: 4 };
  const out = key === undefined ? guest.run(command) : guest.run(command, [key.secret]);
  const tunnel = { handle: word(out, 0), even: out.slice(-20), secret: SECRET, attributes, way };
  CHANNELS.keep(guest, { tunnel }, 6);
  return { tunnel };
}

const keyFor = (guest: RandomGuest): Held =>
  guest.wrongly(6)
    ? anyKey(guest)
    : guest.chance(3)
      ? heldKey(guest, STORAGE)
      : guest.wrongly(6)
        ? heldKey(guest, SIGNING_DER)
        : srk(guest);

function sealedTo(guest: RandomGuest, { wrapped }: Held): Uint8Array {
  const auth = concat(encode(u16, guest.wrongly(6) ? TAG_PUBLIC : TAG_AUTH), SECRET);
  const key = wrapped === undefined ? srkOf(guest) : storageOf(wrapped.blob);
  return sealedFor(guest, key, auth);
}

const srkOf = (guest: RandomGuest): PubKey => ({
  algorithmParms: RSA_2048,
  modulus: guest.mirror.permanent.data.srk.pubKey,
});

/** The public part of a key to encrypt to; to a key that does not encrypt it is done all the same. */
function storageOf(blob: Uint8Array): PubKey {
  const { modulus } = publicOf(blob);
  return { algorithmParms: RSA_2048, modulus };
}

/**
 * What cannot be compared within a session: what shows ticks, which the session shows later again; a
 * key of the moment, and what DAA draws in secret; and random bytes that fill a response, which then
 * is refused and not shown, but was logged and audited.
 */
const OUTSIDE: readonly number[] = [
  ORDINALS.GetTicks,
  ORDINALS.TickStampBlob,
  ORDINALS.ChangeAuthAsymStart,
  ORDINALS.DAA_Join,
  ORDINALS.DAA_Sign,
];
const RANDOM_MAX = 4000;

const staysOutside = (request: Uint8Array): boolean =>
  OUTSIDE.includes(word(request, 6)) ||
  (word(request, 6) === ORDINALS.GetRandom &&
    request.length >= 14 &&
    word(request, 10) > RANDOM_MAX);

/** Takes requests through a session; it ends where it is not to go on, and where it is refused. */
function carrierOf(guest: RandomGuest, channel: Channel): Carrier {
  return (request, wellFormed) => {
    const ordinal = word(request, 6);
    if (staysOutside(request)) return guest.mirror.transmit(request, wellFormed);
    const handles = wrappedHandlesOf(ordinal);
    const odd = guest.client.nonce();
    const [wrong, last] = [guest.chance(40), guest.chance(20)];
    const { tunnel } = channel;
    const options = { secret: wrong ? WRONG : SECRET, goOn: Number(!last) };
    const open = (outer: Uint8Array) => unwrap(tunnel, ordinal, outer, handles, odd);
    const wrapped = wrap(tunnel, request, handles, odd, options).request;
    const inner = { request, open: (response: Uint8Array) => open(response).response };
    const { mirror } = guest;
    const well = wellFormed && !wrong;
    const outer = mirror.through?.(wrapped, inner, well) ?? mirror.transmit(wrapped, well);
    const result = word(outer, 6);
    if (result !== 0 || last) CHANNELS.drop(guest, channel);
    if (result !== 0) throw new TpmResponseError(ORDINALS.ExecuteTransport, result);
    const { response, even, proven } = open(outer);
    if (!proven) throw new Error('the HMAC of a transport session is wrong');
    channel.tunnel = { ...tunnel, even };
    return response;
  };
}

/** A session that is open, most of the time; one that is not is refused. */
const someChannel = (guest: RandomGuest): Channel => {
  const known = guest.chance(3) ? undefined : CHANNELS.pick(guest);
  if (known !== undefined) return known;
  establish(guest);
  return CHANNELS.of(guest).at(-1)!;
};

/** Does a few things of other families through a session. */
function act(guest: RandomGuest, actions: Family): void {
  const channel = someChannel(guest);
  guest.through(carrierOf(guest, channel), () => {
    for (let left = 1 + guest.below(3); left > 0; left -= 1) {
      const [, doIt] = guest.pick(actions as readonly [Action, ...Action[]]);
      guest.attempt(() => doIt(guest));
    }
  });
}

/** What may not go through a session. */
function wrapInVain(guest: RandomGuest): void {
  const channel = someChannel(guest);
  const command = guest.pick([
    rawCommand('SaveState', 0),
    rawCommand('EstablishTransport', 1, TRANSPORT, guest.bytes(12), counted(SECRET)),
    rawCommand('ExecuteTransport', 0, counted(guest.bytes(guest.below(20)))),
    rawCommand('ReleaseTransportSigned', 1, HANDLE.SRK, guest.bytes(20)),
    rawCommand('Startup', 0, Uint8Array.of(0, 1)),
    rawCommand('Init', 0),
    rawCommand('GetTestResult', 0),
  ]);
  guest.through(carrierOf(guest, channel), () => guest.run(command));
}

/** An ordinal without a command, wrapped; the session goes on where libtpms knows it by name. */
function wrapAbsent(guest: RandomGuest): void {
  const channel = someChannel(guest);
  const body = guest.chance(2) ? guest.bytes(guest.below(60)) : n4(HANDLE.SRK);
  const request = frame(TAG.RQU_COMMAND + guest.below(3), guest.pick(ABSENT), body);
  guest.through(carrierOf(guest, channel), () => guest.send(request));
}

/** A command that is not wrapped well, or not at all. */
function executeBadly(guest: RandomGuest): void {
  guest.runAnew(ORDINALS.ExecuteTransport, () => {
    const { handle, even } = someChannel(guest).tunnel;
    const session = { handle, nonceEven: even, shared: SECRET };
    const command = rawCommand('ExecuteTransport', 0, counted(guest.bytes(guest.below(24))));
    return [command, [SECRET, session]];
  });
}

/** Ends a session by a signature over its log, of which it may have none. */
function release(guest: RandomGuest): void {
  const key = guest.wrongly(6)
    ? anyKey(guest)
    : guest.wrongly(6)
      ? identity(guest)
      : heldKey(guest, SIGNING);
  guest.runAnew(ORDINALS.ReleaseTransportSigned, () => {
    const lasting = CHANNELS.of(guest).filter(({ tunnel }) => tunnel.attributes < EXCLUSIVE);
    const channel = guest.chance(3)
      ? (guest.pick(lasting) ?? someChannel(guest))
      : establish(guest, LOG + (guest.chance(3) ? EXCLUSIVE : guest.below(2)));
    CHANNELS.drop(guest, channel);
    const { handle, even } = channel.tunnel;
    const session = { handle, nonceEven: even, shared: SECRET };
    const command = rawCommand('ReleaseTransportSigned', 1, key.handle, guest.bytes(20));
    if (guest.chance(8)) return [command, [SECRET, session]];
    return [command, [key.secret], [SECRET, session]];
  });
}

/** A session leaves as a context; what shows that it is back is a command through it. */
function leave(guest: RandomGuest): void {
  const channel = someChannel(guest);
  CHANNELS.drop(guest, channel);
  const read = commands.pcrRead(guest.below(24));
  saveTransport(guest, channel.tunnel.handle, again =>
    again.through(carrierOf(again, channel), () => again.run(read)),
  );
}

function flush(guest: RandomGuest): void {
  const channel = someChannel(guest);
  const { handle } = channel.tunnel;
  const command = guest.chance(2)
    ? commands.flushSpecific(handle, guest.wrongly() ? guest.below(9) : RESOURCE)
    : commands.terminateHandle(handle);
  guest.run(command);
}

/** @param inner what else goes through a session */
export const transportFamily = (inner: Family): Family => [
  [4, guest => establish(guest)],
  [16, guest => act(guest, inner)],
  [3, wrapInVain],
  [2, wrapAbsent],
  [2, executeBadly],
  [5, release],
  [3, leave],
  [2, flush],
  [1, guest => guest.run(rawCommand('SetOrdinalAuditStatus', 0, 0xe7, byte(1)), [guest.owner])],
];
