/**
 * A guest's side of TPM 1.2, for tests and demonstrations: pure builders and checkers of commands,
 * and a small synchronous client on top of them.
 * @module
 */

export type { Codec, Fields, Of, Reader, Struct, Writer } from '../wire/codec.js';
export { type Entropy, Tpm12Client, type Transmit } from './client.js';
export * as commands from './commands.js';
export {
  CAP,
  ENTITY,
  FLAG,
  HANDLE,
  NV_INDEX,
  NV_PER,
  ORDINALS,
  type OrdinalName,
  ordinalName,
  PRESENCE,
  PROPERTY,
  RESOURCE,
  STARTUP,
  TAG,
} from './constants.js';
export { type Command, type Exchange, frame, plain } from './frames.js';
export { encryptTo, publicKeyOf } from './oaep.js';
export * as raw from './raw-commands.js';
export {
  RESULT,
  type ResponseFault,
  resultName,
  TpmResponseError,
  TpmResponseFault,
} from './result-codes.js';
export {
  type Authorisation,
  type Authorised,
  type AuthorisedTwice,
  authorised,
  authorisedBy,
  encryptAuth,
  osapShared,
  type Session,
  secretOf,
  WELL_KNOWN_SECRET,
} from './sessions.js';
export {
  ANY_PCR,
  EVERY_LOCALITY,
  type Key11,
  type KeyParms,
  key11,
  keyParms,
  type NvDataPublic,
  nvDataPublic,
  nvPublic,
  type PcrInfoShort,
  type PubKey,
  pcrInfoShort,
  pcrsHolding,
  pubKey,
  RSA_2048,
  rsaKeyParms,
  SRK_TEMPLATE,
} from './structures.js';
