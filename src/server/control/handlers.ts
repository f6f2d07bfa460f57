/**
 * What each control message does. A handler returns the whole response; it throws a Refusal, or an error
 * of the image, for the code and the sentence of a refusal.
 * @module
 */
import { SwtpmError, unwrapBlob, wrapPlainBlob } from '../../nvram/swtpm/index.js';
import type { BlobName } from '../../tpm/engine.js';
import { bytes, concat, encode, flags64, struct, u8, u16, u32 } from '../../wire/codec.js';
import { MESSAGES, type Name, type Request } from '../control-messages.js';
import { BUFFER_BYTES, type ControlledTpm } from './controlled.js';
import { tpmInfo } from './info.js';
import { RESULT, Refusal } from './results.js';

/** What a message acts on. */
export interface Scene {
  readonly tpm: ControlledTpm;
  /** Makes the descriptor that came with the message the data channel. @throws Refusal */
  readonly attachData: () => void;
  /** Ends the server, once the response is written. */
  readonly shutdown: () => void;
  readonly rejectLocality4: boolean;
  /** Whether it comes from a virtual machine, and not from a tool. */
  readonly isMachine: boolean;
}

type Response = Uint8Array | Promise<Uint8Array>;
type Handlers = { readonly [N in Name]?: (request: Request<N>, scene: Scene) => Response };

const result = (code: number): Uint8Array => encode(u32, code);
const established = struct({ result: u32, bit: u8, padding: bytes(3) });
const config = struct({ result: u32, flags: u32 });
const bufferSize = struct({ result: u32, size: u32, min: u32, max: u32 });
const stateBlob = struct({ result: u32, flags: u32, totalBytes: u32, bytes: u32 });
const info = struct({ result: u32, totalBytes: u32, bytes: u32 });
const resetEstablishment = struct({ tag: u16, size: u32, ordinal: u32 });

const LOCALITIES = [0, 1, 2, 3, 4];
/** The localities that may reset TPM_ESTABLISHED. */
const RESETS_ESTABLISHMENT = [3, 4];
/** The types of state blobs; swtpm takes 4 for 3. */
const BLOBS: ReadonlyMap<number, BlobName> = new Map([
  [1, 'permall'],
  [2, 'volatilestate'],
  [3, 'savestate'],
  [4, 'savestate'],
]);
const ABSENT_BLOB = encode(stateBlob, {
  result: RESULT.ABSENT,
  flags: 0,
  totalBytes: 0,
  bytes: 0,
});
/** TSC_ResetEstablishmentBit (TPM Main, PC Client TIS 1.2): what a platform sends for it. */
const RESET_ESTABLISHMENT = encode(resetEstablishment, {
  tag: 0x00c1,
  size: 10,
  ordinal: 0x4000_000b,
});

export const HANDLERS: Handlers = {
  GET_CAPABILITY: () => encode(flags64, capabilities()),

  INIT: async (_, { tpm }) => {
    await tpm.init();
    return result(RESULT.SUCCESS);
  },

  SHUTDOWN: async (_, { tpm, shutdown }) => {
    await tpm.stop();
    shutdown();
    return result(RESULT.SUCCESS);
  },

  STOP: async (_, { tpm }) => {
    await tpm.stop();
    return result(RESULT.SUCCESS);
  },

  GET_TPMESTABLISHED: (_, { tpm }) => {
    const bit = Number(tpm.platform.established());
    return encode(established, { result: RESULT.SUCCESS, bit, padding: new Uint8Array(3) });
  },

  RESET_TPMESTABLISHED: async ({ locality }, { tpm }) => {
    demandLocality(locality, RESETS_ESTABLISHMENT);
    await tpm.settled();
    return result(tpm.command(RESET_ESTABLISHMENT, locality));
  },

  SET_LOCALITY: ({ locality }, { tpm, rejectLocality4 }) => {
    demandLocality(locality);
    if (locality === 4 && rejectLocality4) {
      throw new Refusal(RESULT.BAD_LOCALITY, 'locality 4 is rejected (--locality)');
    }
    tpm.locality = locality;
    return result(RESULT.SUCCESS);
  },

  HASH_START: async (_, { tpm }) => {
    await tpm.settled();
    return result(tpm.platform.hashStart());
  },

  HASH_DATA: ({ data }, { tpm }) => result(tpm.platform.hashData(data)),

  HASH_END: (_, { tpm }) => result(tpm.platform.hashEnd()),

  CANCEL_TPM_CMD: (_, { tpm }) => result(tpm.platform.cancel() ? RESULT.SUCCESS : RESULT.FAIL),

  GET_STATEBLOB: async ({ type, offset }, { tpm, isMachine }) => {
    const name = BLOBS.get(type);
    const blob = name && (await (isMachine ? tpm.outgoing(name) : tpm.blob(name)));
    return blob === undefined ? ABSENT_BLOB : blobResponse(blob, offset);
  },

  SET_STATEBLOB: async ({ type, data }, { tpm }) => {
    const name = BLOBS.get(type);
    if (name === undefined)
      throw new Refusal(RESULT.BAD_PARAMETER, `no state blob has type ${type}`);
    await tpm.expect(name, data.length === 0 ? data : unwrapped(name, data));
    return result(RESULT.SUCCESS);
  },

  GET_CONFIG: () => encode(config, { result: RESULT.SUCCESS, flags: 0 }),

  SET_DATAFD: (_, { attachData }) => {
    attachData();
    return result(RESULT.SUCCESS);
  },

  SET_BUFFERSIZE: ({ size }, { tpm }) => {
    const { min, max } = BUFFER_BYTES;
    if (size !== 0) {
      if (tpm.isOn)
        throw new Refusal(RESULT.BAD_ORDINAL, 'the size of the buffer is set while the TPM is off');
      tpm.bufferBytes = Math.min(Math.max(size, min), max);
    }
    return encode(bufferSize, { result: RESULT.SUCCESS, size: tpm.bufferBytes, min, max });
  },

  GET_INFO: ({ flags, offset }) => {
    const whole = tpmInfo(flags);
    const rest = whole.subarray(offset);
    const sizes = { totalBytes: whole.length, bytes: rest.length };
    return concat(encode(info, { result: RESULT.SUCCESS, ...sizes }), rest);
  },

  LOCK_STORAGE: async ({ retries }, { tpm }) => {
    await tpm.hold(Math.min(retries, LOCK_RETRIES_MAX) * LOCK_RETRY_MS);
    return result(RESULT.SUCCESS);
  },
};

/** How long one of the retries of LOCK_STORAGE stands for, as in swtpm. */
const LOCK_RETRY_MS = 10;
const LOCK_RETRIES_MAX = 6000;

function demandLocality(locality: number, allowed: readonly number[] = LOCALITIES): void {
  if (allowed.includes(locality)) return;
  const why = `locality ${locality} is not one of ${allowed.join(', ')}`;
  throw new Refusal(RESULT.BAD_LOCALITY, why);
}

/** swtpm's totals count what is left from the offset on. */
function blobResponse(blob: Uint8Array, offset: number): Uint8Array {
  const rest = wrapPlainBlob(blob, 'migrated').subarray(offset);
  const sizes = { totalBytes: rest.length, bytes: rest.length };
  return concat(encode(stateBlob, { result: RESULT.SUCCESS, flags: 0, ...sizes }), rest);
}

/** There is no migration key: a blob that is encrypted with one is refused. */
function unwrapped(name: BlobName, data: Uint8Array): Uint8Array {
  try {
    return unwrapBlob(`the ${name} blob`, data, {});
  } catch (error) {
    if (!(error instanceof SwtpmError) || error.code !== 'MALFORMED') throw error;
    throw new Refusal(RESULT.BAD_PARAMETER, error.message);
  }
}

/** The bit of each message in GET_CAPABILITY; a bit stands for all of its messages. */
// biome-ignore format: table
const CAPABILITY_BITS: readonly (readonly Name[])[] = [
  ['INIT'],
  ['SHUTDOWN'],
  ['GET_TPMESTABLISHED'],
  ['SET_LOCALITY'],
  ['HASH_START', 'HASH_DATA', 'HASH_END'],
  ['CANCEL_TPM_CMD'],
  ['STORE_VOLATILE'],
  ['RESET_TPMESTABLISHED'],
  ['GET_STATEBLOB'],
  ['SET_STATEBLOB'],
  ['STOP'],
  ['GET_CONFIG'],
  ['SET_DATAFD'],
  ['SET_BUFFERSIZE'],
  ['GET_INFO'],
  // 15: commands carry a header of their own, for TPM 2.0.
  [],
  ['LOCK_STORAGE'],
];

/** A bit is set where each of its messages has a handler. */
const capabilities = (): bigint =>
  CAPABILITY_BITS.reduce((bits, names, bit) => {
    const isThere = names.length > 0 && names.every(name => HANDLERS[name] !== undefined);
    return isThere ? bits | (1n << BigInt(bit)) : bits;
  }, 0n);

/** Runs a whole message. @throws Refusal; errors of the machine */
export async function handle(
  name: Name,
  request: Request<Name>,
  scene: Scene,
): Promise<Uint8Array> {
  const { when } = MESSAGES[name];
  const handler = HANDLERS[name] as ((given: Request<Name>, scene: Scene) => Response) | undefined;
  if (handler === undefined) throw new Refusal(RESULT.BAD_ORDINAL, 'this message is not supported');
  if (when !== 'always' && (when === 'on') !== scene.tpm.isOn) {
    const state = scene.tpm.isOn ? 'on: it takes CMD_STOP first' : 'off: it takes CMD_INIT first';
    throw new Refusal(RESULT.BAD_ORDINAL, `the TPM is ${state}`);
  }
  if (when === 'on') await scene.tpm.hold();
  return handler(request, scene);
}
