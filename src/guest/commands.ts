/**
 * The commands of a guest, one function each: parameters in, a record out that can be sent plain or
 * under a session. The order is that of TPM Main Part 3, and so are the names.
 * @module
 */
import {
  bytes,
  type Codec,
  checked,
  concat,
  encode,
  equal,
  type Of,
  sized,
  struct,
  u16,
  u32,
} from '../wire/codec.js';
import { ORDINALS, type OrdinalName } from './constants.js';
import type { Command } from './frames.js';
import { sha1 } from './sessions.js';
import {
  digest,
  type Key11,
  type KeyParms,
  key11,
  keyParms,
  type NvDataPublic,
  nonce,
  nvDataPublic,
  pubKey,
  RSA_2048,
  SRK_TEMPLATE,
} from './structures.js';

const NOTHING = struct({});
type Nothing = Of<typeof NOTHING>;
const PROTOCOL_OWNER = 0x0005;

const command = <T>(
  name: OrdinalName,
  output: Codec<T>,
  ...params: readonly Uint8Array[]
): Command<T> => ({ ordinal: ORDINALS[name], params: concat(...params), output });

const n16 = (value: number): Uint8Array => encode(u16, value);
const n32 = (value: number): Uint8Array => encode(u32, value);
const counted = (part: Uint8Array): Uint8Array => encode(sized(u32), part);

// Admin startup, state and testing (§3, §4).

/** TPM_Startup (§3.2), with one of `STARTUP`. */
export const startup = (type: number): Command<Nothing> => command('Startup', NOTHING, n16(type));
/** TPM_SaveState (§3.3). */
export const saveState = (): Command<Nothing> => command('SaveState', NOTHING);
/** TPM_SelfTestFull (§4.1). */
export const selfTestFull = (): Command<Nothing> => command('SelfTestFull', NOTHING);
/** TPM_ContinueSelfTest (§4.2). */
export const continueSelfTest = (): Command<Nothing> => command('ContinueSelfTest', NOTHING);
/** TPM_GetTestResult (§4.3). */
export const getTestResult = (): Command<Uint8Array> => command('GetTestResult', sized(u32));

// Opt-in (§5, §6).

/** TPM_ForceClear (§6.3): needs physical presence. */
export const forceClear = (): Command<Nothing> => command('ForceClear', NOTHING);
/** TPM_OwnerClear (§6.2): under the owner's secret. */
export const ownerClear = (): Command<Nothing> => command('OwnerClear', NOTHING);
/** TPM_PhysicalEnable (§5.3): needs physical presence. */
export const physicalEnable = (): Command<Nothing> => command('PhysicalEnable', NOTHING);
/** TPM_PhysicalDisable (§5.4): needs physical presence. */
export const physicalDisable = (): Command<Nothing> => command('PhysicalDisable', NOTHING);
/** TPM_PhysicalSetDeactivated (§5.5): needs physical presence. */
export const physicalSetDeactivated = (state: boolean): Command<Nothing> =>
  command('PhysicalSetDeactivated', NOTHING, Uint8Array.of(Number(state)));
/** TSC_PhysicalPresence (§6.6), with bits of `PRESENCE`. */
export const physicalPresence = (bits: number): Command<Nothing> =>
  command('TSC_PhysicalPresence', NOTHING, n16(bits));

/** TPM_TakeOwnership (§6.1). Both secrets come encrypted to the EK. */
export const takeOwnership = (
  encOwnerAuth: Uint8Array,
  encSrkAuth: Uint8Array,
  srk: Key11 = SRK_TEMPLATE,
): Command<Key11> =>
  command(
    'TakeOwnership',
    key11,
    n16(PROTOCOL_OWNER),
    counted(encOwnerAuth),
    counted(encSrkAuth),
    encode(key11, srk),
  );

// Capabilities (§7).

/** TPM_GetCapability: what comes back depends on `area`, so it is left as bytes. */
export const getCapability = (
  area: number,
  subCap: Uint8Array | number = new Uint8Array(),
): Command<Uint8Array> =>
  command(
    'GetCapability',
    sized(u32),
    n32(area),
    counted(typeof subCap === 'number' ? n32(subCap) : subCap),
  );

const ownerCapabilities = struct({ version: bytes(4), nonVolatileFlags: u32, volatileFlags: u32 });
/** TPM_GetCapabilityOwner: version and flags, under the owner's secret. */
export const getCapabilityOwner = (): Command<Of<typeof ownerCapabilities>> =>
  command('GetCapabilityOwner', ownerCapabilities);

// Cryptography (§13) and the endorsement key (§14).

/** TPM_GetRandom (§13.6): up to `count` bytes. */
export const getRandom = (count: number): Command<Uint8Array> =>
  command('GetRandom', sized(u32), n32(count));

/** The EK and its checksum, refused if the checksum is not over this key and `antiReplay`. */
const endorsement = (antiReplay: Uint8Array) =>
  checked(struct({ publicKey: pubKey, checksum: digest }), ({ publicKey, checksum }) =>
    equal(checksum, sha1(encode(pubKey, publicKey), antiReplay)),
  );
type Endorsement = Of<ReturnType<typeof endorsement>>;

/** TPM_CreateEndorsementKeyPair (§14.1); `antiReplay` is a nonce of 20 bytes. */
export const createEndorsementKeyPair = (
  antiReplay: Uint8Array,
  parms: KeyParms = RSA_2048,
): Command<Endorsement> =>
  command('CreateEndorsementKeyPair', endorsement(antiReplay), antiReplay, encode(keyParms, parms));
/** TPM_ReadPubek (§14.4): while there is no owner. */
export const readPubek = (antiReplay: Uint8Array): Command<Endorsement> =>
  command('ReadPubek', endorsement(antiReplay), antiReplay);
/** TPM_OwnerReadInternalPub (§14.5), of `HANDLE.EK` or `HANDLE.SRK`: under the owner's secret. */
export const ownerReadInternalPub = (keyHandle: number): Command<Of<typeof pubKey>> =>
  command('OwnerReadInternalPub', pubKey, n32(keyHandle));

// Integrity (§16).

/** TPM_Extend (§16.1) with 20 bytes: the new value of the PCR. */
export const extend = (pcr: number, inDigest: Uint8Array): Command<Uint8Array> =>
  command('Extend', digest, n32(pcr), inDigest);
/** TPM_PCRRead (§16.2): 20 bytes. */
export const pcrRead = (pcr: number): Command<Uint8Array> => command('PcrRead', digest, n32(pcr));

// Sessions (§18, §22, §28).

const oiapOutput = struct({ handle: u32, nonceEven: nonce });
const osapOutput = struct({ handle: u32, nonceEven: nonce, nonceEvenOsap: nonce });

/** TPM_OIAP (§18.1). */
export const oiap = (): Command<Of<typeof oiapOutput>> => command('OIAP', oiapOutput);
/** TPM_OSAP (§18.2), with one of `ENTITY`. */
export const osap = (
  entityType: number,
  entityValue: number,
  nonceOddOsap: Uint8Array,
): Command<Of<typeof osapOutput>> =>
  command('OSAP', osapOutput, n16(entityType), n32(entityValue), nonceOddOsap);
/** TPM_Terminate_Handle: closes an authorisation session. */
export const terminateHandle = (handle: number): Command<Nothing> =>
  command('Terminate_Handle', NOTHING, n32(handle));
/** TPM_FlushSpecific (§22.1), with one of `RESOURCE`. */
export const flushSpecific = (handle: number, resourceType: number): Command<Nothing> =>
  command('FlushSpecific', NOTHING, n32(handle), n32(resourceType));

// Non-volatile storage (§20).

/** TPM_NV_DefineSpace: defines an index; a data size of 0 deletes it. */
export const nvDefineSpace = (pub: NvDataPublic, encAuth: Uint8Array): Command<Nothing> =>
  command('NV_DefineSpace', NOTHING, encode(nvDataPublic, pub), encAuth);

/** TPM_NV_WriteValue, or with `auth` TPM_NV_WriteValueAuth: under the index's own secret. */
export const nvWriteValue = (
  index: number,
  offset: number,
  data: Uint8Array,
  auth = false,
): Command<Nothing> =>
  command(
    auth ? 'NV_WriteValueAuth' : 'NV_WriteValue',
    NOTHING,
    n32(index),
    n32(offset),
    counted(data),
  );

/** TPM_NV_ReadValue, or with `auth` TPM_NV_ReadValueAuth: under the index's own secret. */
export const nvReadValue = (
  index: number,
  offset: number,
  size: number,
  auth = false,
): Command<Uint8Array> =>
  command(
    auth ? 'NV_ReadValueAuth' : 'NV_ReadValue',
    sized(u32),
    n32(index),
    n32(offset),
    n32(size),
  );
