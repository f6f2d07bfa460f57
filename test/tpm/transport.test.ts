/**
 * Transport sessions, by a guest that checks everything: the HMACs, what comes back, the log and the
 * signature over it. swtpm and this engine must both satisfy it, and refuse the same.
 */
import { verify } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import { hex, toHex } from '../../lab/files.js';
import { swtpm } from '../../lab/peers/swtpm.js';
import { Channel, KEY, ORDINAL, SECRET } from '../../lab/reference/channel.js';
import { MemoryNvram } from '../../lab/reference/memory-nvram.js';
import { entropy, Rig } from '../../lab/reference/rig.js';
import { owned } from '../../lab/reference/states.js';
import { ALGORITHM, ATTRIBUTE, SCHEME, TRANSPORT } from '../../lab/reference/tunnel.js';
import {
  authorised,
  CAP,
  commands,
  ENTITY,
  encryptAuth,
  frame,
  HANDLE,
  key11,
  plain,
  publicKeyOf,
  RESOURCE,
  RSA_2048,
  raw,
  rsaKeyParms,
  SRK_TEMPLATE,
  STARTUP,
  Tpm12Client,
  type Transmit,
} from '../../src/guest/index.js';
import { sha1 } from '../../src/guest/sessions.js';
import { concat, decode, encode, u16, u32 } from '../../src/wire/codec.js';
import { peerTest } from '../_peers.js';

const SRK = new Uint8Array(20);
const NO_DIGEST: Uint8Array = new Uint8Array(20);
const { ENCRYPT, LOG, EXCLUSIVE } = ATTRIBUTE;
const { MGF1, AES128 } = ALGORITHM;
const { NONE: ES_NONE, CTR, OFB } = SCHEME;
const { ESTABLISH, EXECUTE, RELEASE } = ORDINAL;
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const n4 = (value: number): Uint8Array => encode(u32, value);

function subjects(
  t: ExecutionContext,
): { name: string; client: Tpm12Client; transmit: Transmit; hash: () => void }[] {
  const theirs = swtpm(t, owned());
  const nvram = new MemoryNvram();
  nvram.blobs.set('permall', owned());
  const rig = new Rig(nvram);
  return [
    { name: 'swtpm', transmit: theirs.transmit, hash: () => theirs.hash(NO_DIGEST) },
    {
      name: 'ours',
      transmit: rig.transmit,
      hash: () => {
        rig.tpm.hashStart();
        rig.tpm.hashData(NO_DIGEST);
        rig.tpm.hashEnd();
      },
    },
  ].map(subject => {
    const client = new Tpm12Client(subject.transmit, entropy);
    client.run(commands.startup(STARTUP.CLEAR));
    return { ...subject, client };
  });
}

const EXTEND = plain(commands.extend(3, NO_DIGEST)).request;
const READ = plain(commands.pcrRead(3)).request;
const OIAP = plain(commands.oiap()).request;
const tail = (response: Uint8Array): string => toHex(response.slice(6));

peerTest('a signed log tells of what went through', ['swtpm'], t => {
  for (const { name, client, transmit } of subjects(t)) {
    const template = {
      ...SRK_TEMPLATE,
      keyUsage: 0x10,
      algorithmParms: {
        ...RSA_2048,
        encScheme: 1,
        sigScheme: 2,
        parms: encode(rsaKeyParms, { keyLength: 1024, numPrimes: 2, exponent: new Uint8Array() }),
      },
    };
    const session = client.openOsap(ENTITY.KEYHANDLE, HANDLE.SRK, SRK);
    const wrap = raw.createWrapKey(HANDLE.SRK, encryptAuth(session, KEY), KEY, template);
    const wrapped = client.exchange(
      authorised(wrap, { session, secret: SRK, nonceOdd: client.nonce() }),
    ).value;
    const key = client.authorise(raw.loadKey2(HANDLE.SRK, wrapped), SRK);
    const channel = new Channel(client, transmit, LOG).open();
    const { algorithmParms, modulus } = decode(key11, wrapped);
    t.is(tail(channel.run(EXTEND)).slice(0, 8), '00000000', name);
    const nonce = client.run({ ...raw.rawCommand('GetTicks', 0) }).slice(12);
    channel.closeLog(nonce);
    const getPub = frame(0x00c1, 0x21, n4(key));
    const keys = sha1(sha1(raw.counted(modulus)));
    t.is(
      tail(channel.run(getPub, { input: 4, keys })),
      '00000001',
      `${name}: its secret is asked for`,
    );
    channel.closeLog(nonce);
    const antiReplay = client.nonce();
    const { signature } = channel.release(key, antiReplay);
    const message = concat(hex('0005'), ascii('TRAN'), antiReplay, raw.counted(channel.log));
    t.true(verify('sha1', message, publicKeyOf({ algorithmParms, modulus }), signature), name);
    t.throws(() => channel.run(READ), { message: 'result 34' }, `${name}: it is over`);
  }
});

for (const [what, algorithm, scheme] of [
  ['MGF1', MGF1, ES_NONE],
  ['AES in counter mode', AES128, CTR],
  ['AES in output feedback mode', AES128, OFB],
] as const) {
  peerTest(`what goes through is encrypted: ${what}`, ['swtpm'], t => {
    for (const { name, client, transmit } of subjects(t)) {
      const channel = new Channel(client, transmit, ENCRYPT, [algorithm, scheme]).open();
      channel.run(EXTEND);
      const through = channel.run(READ);
      t.is(toHex(through), toHex(transmit(READ)), name);
      const opened = channel.run(OIAP, { output: 24 });
      t.is(opened.length, 34, name);
      t.is(tail(channel.run(plain(commands.saveState()).request)), '0000002f', `${name}: NO_WRAP`);
      t.throws(() => channel.run(frame(0x00c1, EXECUTE, n4(0))), { message: 'result 47' }, name);
      t.throws(() => channel.run(READ), { message: 'result 34' }, `${name}: a refusal ends it`);
      const other = new Channel(client, transmit, ENCRYPT, [algorithm, scheme]).open();
      t.throws(() => other.run(READ, { wrong: true }), { message: 'result 29' }, name);
    }
  });
}

peerTest('an exclusive session ends with any other command', ['swtpm'], t => {
  for (const { name, client, transmit } of subjects(t)) {
    const channel = new Channel(client, transmit, EXCLUSIVE).open();
    t.is(toHex(channel.run(READ)), toHex(channel.run(READ)), name);
    transmit(READ);
    t.throws(() => channel.run(READ), { message: 'result 34' }, name);
  }
});

peerTest('an exclusive session ends with a measured launch', ['swtpm'], t => {
  for (const { name, client, transmit, hash } of subjects(t)) {
    const channel = new Channel(client, transmit, EXCLUSIVE).open();
    channel.run(READ);
    hash();
    t.throws(() => channel.run(READ), { message: 'result 34' }, name);
  }
});

peerTest('a wrapped command that is too short is refused, logged or not', ['swtpm'], t => {
  const [FLUSH, SAVE] = [0xba, 0xb8];
  for (const { name, client, transmit } of subjects(t)) {
    for (const attributes of [0, LOG, LOG + ENCRYPT]) {
      for (const ordinal of [FLUSH, SAVE]) {
        for (const length of [4, 5, 7]) {
          const channel = new Channel(client, transmit, attributes).open();
          const request = frame(0x00c1, ordinal, new Uint8Array(length));
          const what = `${name}: ${length} bytes, attributes ${attributes}`;
          t.throws(() => channel.run(request, { input: 4 }), { message: 'result 25' }, what);
        }
      }
    }
  }
});

/** Part 2 §17: ordinals that libtpms knows and has no command for, and their bytes of handles. */
// biome-ignore format: table
const ABSENT: readonly (readonly [ordinal: number, handles: number])[] = [
  [0x2c, 0], [0x2d, 0], [0x2e, 0], [0x2f, 0], [0x30, 0], [0x52, 4],
  [0x64, 0], [0x82, 0], [0x83, 0], [0x8c, 0], [0x9a, 4], [0xaa, 0],
];

peerTest(
  'a wrapped ordinal without a command is refused, and the session goes on',
  ['swtpm'],
  t => {
    for (const { name, client, transmit } of subjects(t)) {
      for (const attributes of [ENCRYPT, LOG]) {
        for (const [ordinal, input] of ABSENT) {
          const what = `${name}: ordinal ${ordinal.toString(16)}, attributes ${attributes}`;
          const channel = new Channel(client, transmit, attributes).open();
          const request = frame(0x00c1, ordinal, n4(HANDLE.SRK));
          t.is(toHex(channel.run(request, { input })), '00c40000000a0000000a', what);
          t.is(tail(channel.run(READ)).slice(0, 8), '00000000', what);
          client.run(commands.flushSpecific(channel.handle, RESOURCE.TRANS));
        }
      }
    }
  },
);

peerTest('a wrapped ordinal that does not exist ends the session', ['swtpm'], t => {
  for (const { name, client, transmit } of subjects(t)) {
    for (const ordinal of [0x00, 0x26, 0x34, 0xff, 0x1234, 0x4000_000c]) {
      const channel = new Channel(client, transmit, ENCRYPT).open();
      const request = frame(0x00c1, ordinal, n4(HANDLE.SRK));
      t.throws(() => channel.run(request), { message: 'result 10' }, name);
      t.throws(() => channel.run(READ), { message: 'result 34' }, name);
    }
  }
});

peerTest('a wrapped TPM_ReleaseTransportSigned has no handles, and is refused', ['swtpm'], t => {
  for (const { name, client, transmit } of subjects(t)) {
    const request = frame(0x00c1, RELEASE, new Uint8Array(24).fill(0x40));
    const run = (input: number) => () =>
      new Channel(client, transmit, ENCRYPT).open().run(request, { input });
    t.throws(run(0), { message: 'result 47' }, name);
    t.throws(run(4), { message: 'result 29' }, name);
  }
});

peerTest('a release that does not parse ends the session of the key', ['swtpm'], t => {
  const sessions = commands.getCapability(CAP.HANDLE, RESOURCE.AUTH);
  for (const { name, client, transmit } of subjects(t)) {
    const { handle } = client.openOiap();
    const auth = (of: number) => concat(n4(of), NO_DIGEST, raw.byte(0), NO_DIGEST);
    const body = concat(n4(HANDLE.SRK), NO_DIGEST, auth(handle), auth(0x1234));
    t.is(tail(transmit(frame(0x00c3, RELEASE, body.slice(0, -50)))), '00000019', name);
    t.is(client.run(sessions).length, 2 + 4, `${name}: the session is there`);
    t.is(tail(transmit(frame(0x00c3, RELEASE, body.slice(0, -1)))), '00000019', name);
    t.is(client.run(sessions).length, 2, `${name}: the session is gone`);
  }
});

peerTest('what a session may not be opened with', ['swtpm'], t => {
  const establish = (
    handle: number,
    attributes: number,
    algorithm: number,
    scheme: number,
    sent: Uint8Array = SECRET,
  ) =>
    plain(
      raw.rawCommand(
        'EstablishTransport',
        1,
        handle,
        encode(u16, 0x1e),
        n4(attributes),
        n4(algorithm),
        encode(u16, scheme),
        raw.counted(sent),
      ),
    ).request;
  const requests = [
    establish(TRANSPORT, ENCRYPT, MGF1, ES_NONE),
    establish(TRANSPORT, LOG, MGF1, ES_NONE, SECRET.slice(1)),
    establish(HANDLE.SRK, LOG, MGF1, ES_NONE),
    establish(0x1234, LOG, MGF1, ES_NONE),
    frame(0x00c1, ESTABLISH, n4(TRANSPORT)),
    frame(0x00c1, EXECUTE, n4(0)),
    frame(0x00c1, RELEASE, new Uint8Array(24)),
    frame(0x00c2, EXECUTE, concat(n4(0), new Uint8Array(45))),
  ];
  const [theirs, ours] = subjects(t);
  for (const request of requests) {
    t.is(toHex(ours!.transmit(request)), toHex(theirs!.transmit(request)), toHex(request));
  }
});
