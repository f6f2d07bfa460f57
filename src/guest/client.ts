/**
 * A guest's TPM 1.2 driver and stack in small: runs commands over any transport that takes a
 * request and gives the response, and keeps sessions for the caller. It shares nothing with the
 * engine but byte codecs, so it is a check of the engine and not a mirror of it.
 * @module
 */
import * as commands from './commands.js';
import { ENTITY, HANDLE, RESOURCE } from './constants.js';
import { type Command, type Exchange, plain } from './frames.js';
import { encryptTo } from './oaep.js';
import { authorised, encryptAuth, osapShared, type Session } from './sessions.js';
import type { Key11, NvDataPublic, PubKey } from './structures.js';

/** Carries a request to a TPM and brings its response. */
export type Transmit = (request: Uint8Array) => Uint8Array;
/** Random bytes, for nonces. */
export type Entropy = (length: number) => Uint8Array;

const NONCE_BYTES = 20;

/** A client of a TPM 1.2: commands, and the sessions that they need. */
export class Tpm12Client {
  readonly #transmit: Transmit;
  readonly #entropy: Entropy;

  constructor(transmit: Transmit, entropy: Entropy) {
    this.#transmit = transmit;
    this.#entropy = entropy;
  }

  /**
   * Sends an exchange and gives its checked value.
   * @throws TpmResponseError, TpmResponseFault
   */
  exchange<T>(exchange: Exchange<T>): T {
    return exchange.verify(this.#transmit(exchange.request));
  }

  /** Runs a command without authorisation: `client.run(commands.pcrRead(0))`. */
  run<T>(command: Command<T>): T {
    return this.exchange(plain(command));
  }

  /** A fresh nonce. */
  nonce(): Uint8Array {
    return this.#entropy(NONCE_BYTES);
  }

  /** Opens a session that works for any entity. */
  openOiap(): Session {
    return { ...this.run(commands.oiap()), shared: undefined };
  }

  /** Opens a session for one entity, whose secret this is. */
  openOsap(entityType: number, entityValue: number, secret: Uint8Array): Session {
    const nonceOdd = this.nonce();
    const { handle, nonceEven, nonceEvenOsap } = this.run(
      commands.osap(entityType, entityValue, nonceOdd),
    );
    return { handle, nonceEven, shared: osapShared(secret, nonceEvenOsap, nonceOdd) };
  }

  /** Closes a session that the TPM still has. */
  closeSession({ handle }: Session): void {
    this.run(commands.flushSpecific(handle, RESOURCE.AUTH));
  }

  /** Runs a command under the 20 bytes of `secret`, in an OIAP session of its own. */
  authorise<T>(command: Command<T>, secret: Uint8Array): T {
    const session = this.openOiap();
    return this.exchange(authorised(command, { session, secret, nonceOdd: this.nonce() })).value;
  }

  /** Makes the Endorsement Key and gives its public part. */
  createEndorsementKeyPair(): PubKey {
    return this.run(commands.createEndorsementKeyPair(this.nonce())).publicKey;
  }

  /** The Endorsement Key's public part, while there is no owner. */
  readPubek(): PubKey {
    return this.run(commands.readPubek(this.nonce())).publicKey;
  }

  /** The public part of the EK (`HANDLE.EK`) or the SRK (`HANDLE.SRK`), for the owner. */
  ownerReadInternalPub(keyHandle: number, ownerSecret: Uint8Array): PubKey {
    return this.authorise(commands.ownerReadInternalPub(keyHandle), ownerSecret);
  }

  /** Makes `ownerSecret` the owner's and `srkSecret` the SRK's; gives the new SRK. */
  takeOwnership(ownerSecret: Uint8Array, srkSecret: Uint8Array): Key11 {
    const ek = this.readPubek();
    const command = commands.takeOwnership(encryptTo(ek, ownerSecret), encryptTo(ek, srkSecret));
    return this.authorise(command, ownerSecret);
  }

  /** Defines an NV index as the owner; `secret` will be the index's own. Size 0 deletes it. */
  nvDefineSpace(pub: NvDataPublic, ownerSecret: Uint8Array, secret: Uint8Array): void {
    const session = this.openOsap(ENTITY.OWNER, HANDLE.OWNER, ownerSecret);
    const command = commands.nvDefineSpace(pub, encryptAuth(session, secret));
    const nonceOdd = this.nonce();
    this.exchange(authorised(command, { session, secret: ownerSecret, nonceOdd }));
  }
}
