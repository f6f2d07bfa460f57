/**
 * Mutated requests, the same to swtpm 0.7.1 and to this engine, on the same state: the same result
 * codes, the same bytes where none are random, and in the end the same permanent state.
 */
import fc from 'fast-check';
import { hex, toHex } from '../../lab/files.js';
import { HEADER_BYTES, mutated, STATES } from '../../lab/guests/mutations.js';
import { swtpm } from '../../lab/peers/swtpm.js';
import { MemoryNvram } from '../../lab/reference/memory-nvram.js';
import { Rig } from '../../lab/reference/rig.js';
import { CAP, commands, plain } from '../../src/guest/index.js';
import { peerTest } from '../_peers.js';

const ROUND = { numRuns: 300, seed: 20_261_122 };
const STARTUP = hex('00c1 0000000c 00000099 0001');
const [GET_CAPABILITY, NV_DEFINE, NV_WRITE, NV_READ] = [0x65, 0xcc, 0xcd, 0xcf];
const [CAP_MFR, CAP_HANDLE] = [0x10, 0x14];
/** Their answers have keys, handles, nonces or times in them. */
const RANDOM = new Set([0x0a, 0x0b, 0x46, 0xf1]);
const MAKES_KEYS = new Set([0x0d, 0x78]);
/** TPM_LoadKeyContext and TPM_LoadAuthContext, of which libtpms dies on a TPM's first day. */
const LOADS_CONTEXTS = new Set([0xb5, 0xb7]);
const FAIL = '00000009';

const word = (bytes: Uint8Array, at: number): number =>
  bytes.length < at + 4 ? 0 : Buffer.from(bytes).readUInt32BE(at);

/** Where the two are to be compared: not in what this engine departs in. */
function comparable(request: Uint8Array, isNew: boolean): boolean {
  const ordinal = word(request, 6);
  if (MAKES_KEYS.has(ordinal) || (isNew && LOADS_CONTEXTS.has(ordinal))) return false;
  // An offset that wraps around reads, or writes, where libtpms has no memory.
  if (ordinal === NV_READ || ordinal === NV_WRITE) return word(request, 14) < 2 ** 31;
  return ordinal !== GET_CAPABILITY || word(request, HEADER_BYTES) !== CAP_MFR;
}

const isRandom = (request: Uint8Array): boolean =>
  request[1] !== 0xc1 ||
  RANDOM.has(word(request, 6)) ||
  (word(request, 6) === GET_CAPABILITY && word(request, HEADER_BYTES) === CAP_HANDLE);

STATES.forEach((permall, at) => {
  peerTest(`the same answers to mutated requests, from state ${at}`, ['swtpm'], t => {
    const theirs = swtpm(t, permall);
    const nvram = new MemoryNvram();
    if (permall !== undefined) nvram.blobs.set('permall', permall);
    const ours = new Rig(nvram);
    let compared = 0;
    const sent = fc.sample(mutated, { ...ROUND, seed: ROUND.seed + at });
    for (const request of [STARTUP, ...sent.filter(one => one.length >= HEADER_BYTES)]) {
      // The socket of swtpm goes by the size in the header, so that does not lie here.
      new DataView(request.buffer, request.byteOffset).setUint32(2, request.length);
      if (!comparable(request, permall === undefined)) continue;
      const expected = theirs.transmit(request);
      const code = toHex(expected.slice(6, HEADER_BYTES));
      // The departure of a refused redefinition: libtpms is out of service from here on.
      if (word(request, 6) === NV_DEFINE && code === FAIL) break;
      const found = ours.transmit(request);
      compared += 1;
      const covered = isRandom(request) ? HEADER_BYTES : Number.POSITIVE_INFINITY;
      t.is(toHex(found.slice(0, covered)), toHex(expected.slice(0, covered)), toHex(request));
    }
    t.is(toHex(nvram.permall), toHex(theirs.permall()!));
    t.true(compared > ROUND.numRuns / 2, `${compared} were compared`);
  });
});

peerTest('the same ordinals: TPM_CAP_ORD, for all below 0x100', ['swtpm'], t => {
  const theirs = swtpm(t);
  const ours = new Rig();
  const ask = (ordinal: number): Uint8Array =>
    plain(commands.getCapability(CAP.ORD, ordinal)).request;
  t.is(toHex(ours.transmit(STARTUP)), toHex(theirs.transmit(STARTUP)));
  const tells = (transmit: (request: Uint8Array) => Uint8Array): number[] =>
    Array.from({ length: 0x100 }, (_, ordinal) => ordinal).filter(
      ordinal => transmit(ask(ordinal))[14] === 1,
    );
  const there = tells(theirs.transmit);
  t.deepEqual(tells(ours.transmit), there);
  t.is(there.length, 111, 'and two commands of the connection have ordinals above');
});
