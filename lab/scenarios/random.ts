/**
 * The random bytes of a response. Where they lie is fixed by the parameter tables of TPM Main Part 3,
 * so it is a table here.
 * @module
 */
import { ORDINALS } from '../../src/guest/index.js';
import type { Range } from '../recorder/transcript.js';

type Row = readonly [field: string, offset: number, length: number];

const HEADER_BYTES = 10;
const RESPONSE_AUTH_BYTES = 41;
/** A response of one authorisation has a tag one higher, a response of two two. */
const RSP_COMMAND = 0x00c4;

/** Fields of the successful, plain part of a response; a length of 0 is "to the end". */
// biome-ignore format: table
const RANDOM: ReadonlyMap<number, readonly Row[]> = new Map<number, readonly Row[]>([
  [ORDINALS.OIAP,      [['authHandle', 10, 4], ['nonceEven', 14, 20]]],
  [ORDINALS.OSAP,      [['authHandle', 10, 4], ['nonceEven', 14, 20], ['nonceEvenOSAP', 34, 20]]],
  [ORDINALS.LoadKey,   [['keyHandle', 10, 4]]],
  [ORDINALS.LoadKey2,  [['keyHandle', 10, 4]]],
  [ORDINALS.DSAP, [['authHandle', 10, 4], ['nonceEven', 14, 20], ['nonceEvenDSAP', 34, 20]]],
  [ORDINALS.LoadContext,     [['handle', 10, 4]]],
  [ORDINALS.LoadKeyContext,  [['handle', 10, 4]]],
  [ORDINALS.LoadAuthContext, [['handle', 10, 4]]],
  [ORDINALS.GetRandom, [['randomBytes', 14, 0]]],
  [ORDINALS.EstablishTransport, [['transHandle', 10, 4], ['transNonceEven', 50, 20]]],
]);

/** What lies behind a count. */
const past = (bytes: Buffer, at: number): number => at + 4 + bytes.readUInt32BE(at);
const blobRandom = (bytes: Buffer): Row[] =>
  bytes.readUInt32BE(10) === 0 ? [] : [['random', 14, bytes.readUInt32BE(10)]];
/** Bytes of TPM_CERTIFY_INFO before the algorithm's parameters, and between them and PCRs. */
const [CERTIFY_HEAD_BYTES, CERTIFY_MIDDLE_BYTES] = [19, 41];

/** TPM_DAA_Join and TPM_DAA_Sign: what is drawn, and shown, at some stages; the request names them. */
const byStage =
  (rows: Readonly<Record<number, Row>>) =>
  (_bytes: Buffer, request: Buffer): Row[] => {
    const row = rows[request[STAGE_AT]!];
    return row === undefined ? [] : [row];
  };
const STAGE_AT = 14;
const DAA_HANDLE: Row = ['daaHandle', 14, 4];
const DAA_NONCE: Row = ['NT', 14, 20];

/** The same for responses in which fields move. */
const MOVING: ReadonlyMap<number, (bytes: Buffer, request: Buffer) => readonly Row[]> = new Map([
  [ORDINALS.DAA_Join, byStage({ 0: DAA_HANDLE, 16: DAA_NONCE })],
  [ORDINALS.DAA_Sign, byStage({ 0: DAA_HANDLE, 9: DAA_NONCE })],
  [ORDINALS.CreateMigrationBlob, blobRandom],
  [ORDINALS.CMK_CreateBlob, blobRandom],
  [
    ORDINALS.ChangeAuthAsymStart,
    (bytes: Buffer): Row[] => [['keyHandle', ephemeralHandleAt(bytes), 4]],
  ],
  [
    ORDINALS.ChangeAuthAsymFinish,
    (bytes: Buffer): Row[] => [['saltNonce', past(bytes, HEADER_BYTES), 20]],
  ],
]);

/** Where the handle of the ephemeral key lies in the response of TPM_ChangeAuthAsymStart. */
function ephemeralHandleAt(bytes: Buffer): number {
  const pcrs = past(bytes, HEADER_BYTES + CERTIFY_HEAD_BYTES) + CERTIFY_MIDDLE_BYTES;
  return past(bytes, past(bytes, pcrs));
}

/** The handle of the ephemeral key in the response of TPM_ChangeAuthAsymStart. */
export function ephemeralHandle(response: Uint8Array): number {
  const bytes = Buffer.from(response);
  return bytes.readUInt32BE(ephemeralHandleAt(bytes));
}

const MAKES_EK: readonly number[] = [ORDINALS.CreateEndorsementKeyPair, ORDINALS.CreateRevocableEK];

/** The random bytes of a response, in the order of its fields. */
export function randomIn(ordinal: number, response: Uint8Array, request: Uint8Array): Range[] {
  const bytes = Buffer.from(response);
  if (bytes.length <= HEADER_BYTES) return [];
  const rows =
    RANDOM.get(ordinal) ??
    MOVING.get(ordinal)?.(bytes, Buffer.from(request)) ??
    newModulus(ordinal, bytes);
  const random = rows
    .map(([field, offset, length]) => ({ field, offset, length: length || bytes.length - offset }))
    .filter(({ length }) => length > 0);
  for (let left = bytes.readUInt16BE(0) - RSP_COMMAND; left > 0; left -= 1) {
    const offset = bytes.length - left * RESPONSE_AUTH_BYTES;
    random.push({ field: 'nonceEven', offset, length: 20 });
  }
  return random;
}

/** Where the modulus of a key lies that the command has made: behind parameters of any length. */
function newModulus(ordinal: number, bytes: Buffer): readonly Row[] {
  const past = (at: number): number => at + 4 + bytes.readUInt32BE(at);
  let at: number;
  if (MAKES_EK.includes(ordinal)) {
    // TPM_PUBKEY: algorithm, schemes, sized parameters; then the sized modulus.
    at = past(HEADER_BYTES + 8);
  } else if (ordinal === ORDINALS.TakeOwnership) {
    // TPM_KEY: version, usage, flags, authDataUsage, then as above, with sized PCR info between.
    at = past(past(HEADER_BYTES + 11 + 8));
  } else {
    return [];
  }
  const modulus: Row = ['modulus', at + 4, bytes.readUInt32BE(at)];
  if (ordinal !== ORDINALS.CreateRevocableEK) return [modulus];
  return [modulus, ['ekReset', bytes.length - 20, 20]];
}
