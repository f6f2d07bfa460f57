/**
 * The client against trousers: it builds, byte for byte, what tpm-tools sent to a TPM, and accepts
 * what that TPM answered. fixtures/clients/tpm-tools.json holds both.
 */
import test from 'ava';
import { fixture, hex, toHex } from '../../lab/files.js';
import {
  authorised,
  type Command,
  commands,
  type Exchange,
  encryptAuth,
  ORDINALS,
  ordinalName,
  osapShared,
  plain,
  RESULT,
  resultName,
  type Session,
  SRK_TEMPLATE,
  TAG,
  WELL_KNOWN_SECRET,
} from '../../src/guest/index.js';
import { key11, keyParms, nvDataPublic } from '../../src/guest/structures.js';
import { bytes, decode, Reader, sized, struct, u8, u16, u32 } from '../../src/wire/codec.js';

interface Recorded {
  readonly exchanges: readonly { tool: string; request: string; response: string }[];
}
const { exchanges } = fixture<Recorded>('clients/tpm-tools.json');

const header = struct({ tag: u16, size: u32, ordinal: u32 });
const trailer = struct({ handle: u32, nonceOdd: bytes(20), goOn: u8, hmac: bytes(20) });
const TRAILER_BYTES = 45;
const HEADER_BYTES = 10;
const digest = bytes(20);

type Rebuild = (params: Reader, session: Session | undefined) => Command<unknown>;

/** From the parameters that a tool sent, the command that the client would build of them. */
// biome-ignore format: table
const REBUILD: ReadonlyMap<number, Rebuild> = new Map<number, Rebuild>([
  [ORDINALS.OIAP,                     () => commands.oiap()],
  [ORDINALS.OSAP,                     p => commands.osap(u16.read(p), u32.read(p), digest.read(p))],
  [ORDINALS.TakeOwnership,            rebuildTakeOwnership],
  [ORDINALS.SelfTestFull,             () => commands.selfTestFull()],
  [ORDINALS.GetTestResult,            () => commands.getTestResult()],
  [ORDINALS.OwnerClear,               () => commands.ownerClear()],
  [ORDINALS.GetCapability,            p => commands.getCapability(u32.read(p), sized(u32).read(p))],
  // trousers asks for an EK that may sign, unlike the client's own template.
  [ORDINALS.CreateEndorsementKeyPair, p => commands.createEndorsementKeyPair(digest.read(p), keyParms.read(p))],
  [ORDINALS.ReadPubek,                p => commands.readPubek(digest.read(p))],
  [ORDINALS.OwnerReadInternalPub,     p => commands.ownerReadInternalPub(u32.read(p))],
  [ORDINALS.FlushSpecific,            p => commands.flushSpecific(u32.read(p), u32.read(p))],
  // tpm-tools define an area that has no password with a secret of 20 zeros.
  [ORDINALS.NV_DefineSpace,           (p, session) => commands.nvDefineSpace(nvDataPublic.read(p), encryptAuth(session!, WELL_KNOWN_SECRET))],
  [ORDINALS.NV_WriteValue,            p => commands.nvWriteValue(u32.read(p), u32.read(p), sized(u32).read(p))],
  [ORDINALS.NV_ReadValue,             p => commands.nvReadValue(u32.read(p), u32.read(p), u32.read(p))],
]);

/** With the client's own protocol and SRK template, whatever the tool had. */
function rebuildTakeOwnership(params: Reader): Command<unknown> {
  u16.read(params);
  return commands.takeOwnership(sized(u32).read(params), sized(u32).read(params));
}

interface Rebuilt {
  readonly title: string;
  readonly request: string;
  readonly response: Uint8Array;
  readonly exchange: Exchange<unknown>;
  /** Tells the walk what the answer was, for the sessions. */
  keep(value: unknown): void;
}

/** Walks over the recording; keeps the sessions as the client keeps them. */
function* rebuilt(): Generator<Rebuilt> {
  const sessions = new Map<number, Session>();
  for (const { tool, request, response } of exchanges) {
    const sent = hex(request);
    const { tag, ordinal } = header.read(new Reader(sent));
    const rebuild = REBUILD.get(ordinal);
    if (rebuild === undefined) continue;
    const title = `${tool}: ${ordinalName(ordinal)}`;
    if (tag === TAG.RQU_COMMAND) {
      const command = rebuild(new Reader(sent.slice(HEADER_BYTES)), undefined);
      const keep = (value: unknown): void => open(sessions, ordinal, sent, value);
      yield { title, request, response: hex(response), exchange: plain(command), keep };
    } else {
      const auth = decode(trailer, sent.slice(-TRAILER_BYTES));
      const session = sessions.get(auth.handle);
      if (session === undefined) throw new Error(`${title}: no such session`);
      const command = rebuild(new Reader(sent.slice(HEADER_BYTES)), session);
      const { nonceOdd } = auth;
      const exchange = authorised(command, {
        session,
        secret: WELL_KNOWN_SECRET,
        nonceOdd,
        continueSession: auth.goOn === 1,
      });
      yield {
        title,
        request,
        response: hex(response),
        exchange,
        keep: () => sessions.delete(auth.handle),
      };
    }
  }
}

/** Keeps the session that an answer to TPM_OIAP or TPM_OSAP has opened. */
function open(
  sessions: Map<number, Session>,
  ordinal: number,
  sent: Uint8Array,
  value: unknown,
): void {
  if (ordinal === ORDINALS.OIAP) {
    const opened = value as { handle: number; nonceEven: Uint8Array };
    sessions.set(opened.handle, { ...opened, shared: undefined });
  } else if (ordinal === ORDINALS.OSAP) {
    const { handle, nonceEven, nonceEvenOsap } = value as Record<
      'nonceEven' | 'nonceEvenOsap',
      Uint8Array
    > & { handle: number };
    const shared = osapShared(WELL_KNOWN_SECRET, nonceEvenOsap, sent.slice(-20));
    sessions.set(handle, { handle, nonceEven, shared });
  }
}

test('the client sends what tpm-tools sent, and accepts what it was answered', t => {
  let count = 0;
  for (const { title, request, response, exchange, keep } of rebuilt()) {
    t.is(toHex(exchange.request), request, title);
    const result = new DataView(response.buffer).getUint32(6);
    if (result === RESULT.SUCCESS) {
      t.notThrows(() => keep(exchange.verify(response)), title);
    } else {
      t.throws(() => exchange.verify(response), { message: new RegExp(resultName(result)) }, title);
    }
    count += 1;
  }
  t.true(count >= 40, `only ${count} exchanges were compared`);
});

test('one bit of an authorised answer changed, and the client does not trust it', t => {
  let count = 0;
  for (const { title, response, exchange, keep } of rebuilt()) {
    if (new DataView(response.buffer).getUint32(6) !== RESULT.SUCCESS) continue;
    keep(exchange.verify(response));
    if (new DataView(response.buffer).getUint16(0) !== TAG.RSP_AUTH1_COMMAND) continue;
    for (let at = HEADER_BYTES; at < response.length; at += 7) {
      const bent = response.slice();
      bent[at]! ^= 0x10;
      t.throws(() => exchange.verify(bent), { name: 'TpmResponseFault' }, `${title}, byte ${at}`);
    }
    count += 1;
  }
  t.true(count >= 5, `only ${count} answers were tried`);
});

test('the SRK template is the one that trousers sends', t => {
  const sent = exchanges
    .map(({ request }) => hex(request))
    .find(bytes => bytes[9] === ORDINALS.TakeOwnership)!;
  const from = new Reader(sent.slice(HEADER_BYTES, -TRAILER_BYTES));
  u16.read(from);
  sized(u32).read(from);
  sized(u32).read(from);
  t.deepEqual(key11.read(from), SRK_TEMPLATE);
  t.is(from.left, 0);
});
