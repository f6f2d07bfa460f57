/**
 * Sealed data (TPM Main Part 2, §9): TPM_STORED_DATA and TPM_STORED_DATA12, and TPM_SEALED_DATA
 * inside.
 * @module
 */
import { type Codec, encode, type Of, struct, u8, u16 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { demand, refusedAs } from '../results.js';
import { digest, STRUCT_VER_1_1, secret, structVer11 } from './basic.js';
import { embedded, sizedBuffer } from './codecs.js';
import { load } from './parsing.js';
import { pcrInfo, pcrInfoLong } from './pcr-info.js';

const TAG_STORED_DATA12 = 0x0016;

const info11 = embedded(pcrInfo);

const info12 = embedded(pcrInfoLong);

/** Sealed data as it travels. `et` is 0 but where the data must travel encrypted. */
export interface StoredData {
  readonly version: 1 | 2;
  readonly ver: Uint8Array;
  readonly et: number;
  readonly pcrs11: Of<typeof info11>;
  readonly pcrs12: Of<typeof info12>;
  readonly encData: Uint8Array;
}

const head12 = struct({ tag: u16, et: u16 });

/** What is sealed and what for, without the encrypted part. */
const clearPart: Codec<StoredData> = {
  size: undefined,
  read(from) {
    const first = from.peek();
    if (first === 1) {
      const ver = structVer11.read(from);
      return { ...noStoredData(1), ver, pcrs11: info11.read(from) };
    }
    const { tag, et } = head12.read(from);
    demand(tag === TAG_STORED_DATA12, 'BAD_VERSION');
    return { ...noStoredData(2), et, pcrs12: info12.read(from) };
  },
  write(to, value) {
    if (value.version === 1) structVer11.write(to, value.ver);
    else head12.write(to, { tag: TAG_STORED_DATA12, et: value.et });
    if (value.version === 1) info11.write(to, value.pcrs11);
    else info12.write(to, value.pcrs12);
  },
};

export const storedData: Codec<StoredData> = {
  size: undefined,
  read: from => ({ ...clearPart.read(from), encData: sizedBuffer.read(from) }),
  write(to, value) {
    clearPart.write(to, value);
    sizedBuffer.write(to, value.encData);
  },
};

const noStoredData = (version: 1 | 2): StoredData => ({
  version,
  ver: STRUCT_VER_1_1,
  et: 0,
  pcrs11: undefined,
  pcrs12: undefined,
  encData: new Uint8Array(),
});

/** The digest by which the encrypted part knows the clear one. */
export const storedDigest = (data: StoredData): Uint8Array => sha1(encode(clearPart, data));

/** §9.3 TPM_SEALED_DATA. */
// biome-ignore format: table
export const sealedData = struct({
  payload:      u8,
  authData:     secret,
  tpmProof:     secret,
  storedDigest: digest,
  data:         sizedBuffer,
});

const TAG_PCR_INFO_LONG = Uint8Array.of(0, 6);

type Infos = Pick<StoredData, 'pcrs11' | 'pcrs12'>;

/**
 * The clear part for the PCR information that a guest sent: the long form tells itself by its tag.
 * @throws TpmFault BADINDEX where it is no PCR information
 */
export function sealInfoOf(
  info: Uint8Array,
  complete: (infos: Infos) => Infos,
  form: 'any' | 'long' = 'any',
): StoredData {
  const long = form === 'long' || TAG_PCR_INFO_LONG.every((byte, at) => info[at] === byte);
  const empty = noStoredData(form === 'long' ? 2 : 1);
  if (info.length === 0) return empty;
  return refusedAs('BADINDEX', () => {
    const infos = long
      ? { pcrs11: undefined, pcrs12: load(pcrInfoLong, info) }
      : { pcrs11: load(pcrInfo, info), pcrs12: undefined };
    return { ...noStoredData(long ? 2 : 1), ...complete(infos) };
  });
}
