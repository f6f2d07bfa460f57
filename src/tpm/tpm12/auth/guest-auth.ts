/**
 * One authorisation that came with a command: the session that it names, the HMAC that it must have,
 * and the answer's (TPM Main Part 1, §13; Part 3, §18: OIAP, OSAP and DSAP with rolling nonces).
 * @module
 */
import assert from 'node:assert/strict';
import { bool, encode, type Of, struct, u32 } from '../../../wire/codec.js';
import { ctrCrypt } from '../../crypto/aes.js';
import { hmacSha1, sha1 } from '../../crypto/hash.js';
import { sameSecret, wipe, xor } from '../../crypto/secrets.js';
import { demand, TpmFault } from '../results.js';
import type { AuthSession } from '../state/auth-session.js';
import { nonce, secret } from '../structures/basic.js';
import type { KeptKey } from '../structures/key.js';
import { AdipScheme, Handle, Protocol } from '../structures/types.js';
import { demandPermission, demandUnrestricted, findRow } from './delegates.js';
import type { Here } from './here.js';

/** The authorisation that follows the parameters of a command. */
// biome-ignore format: table
export const trailer = struct({
  authHandle:          u32,
  nonceOdd:            nonce,
  continueAuthSession: bool,
  authData:            secret,
});

export type Trailer = Of<typeof trailer>;

/** The authorisation that follows the parameters of a response. */
// biome-ignore format: table
const responseTrailer = struct({
  nonceEven:           nonce,
  continueAuthSession: bool,
  authData:            secret,
});

/** What an authorisation is for: its secret, and the digest that an OSAP session bound itself to. */
export interface Entity {
  readonly owner?: boolean;
  /** The key, where the entity is one. */
  readonly key?: KeptKey;
  readonly secret: Uint8Array;
  readonly digest: Uint8Array;
}

/** An entity that has a secret and nothing else: only an OIAP session can be for it. */
export const bareSecret = (value: Uint8Array): Entity => ({
  secret: value,
  digest: new Uint8Array(),
});

/** What a wrong HMAC is called: that of the second authorisation has a result code of its own. */
export type AuthRefusal = 'AUTHFAIL' | 'AUTH2FAIL';

export class GuestAuth {
  readonly #call: Here;
  readonly #trailer: Trailer;
  #session: AuthSession | undefined;
  #key: Uint8Array | undefined;

  constructor(call: Here, guest: Trailer) {
    this.#call = call;
    this.#trailer = guest;
  }

  get handle(): number {
    return this.#trailer.authHandle;
  }

  get authData(): Uint8Array {
    return this.#trailer.authData;
  }

  get nonceOdd(): Uint8Array {
    return this.#trailer.nonceOdd;
  }

  get session(): AuthSession {
    assert(this.#session !== undefined, 'openSession comes first');
    return this.#session;
  }

  /**
   * Finds the guest's session, of the protocol that is asked for, and the key that its HMACs have:
   * the entity's secret in an OIAP session, the shared secret in an OSAP session to that entity.
   */
  openSession(entity: Entity, protocol?: 'OIAP' | 'OSAP'): void {
    const { stclear, permanent } = this.#call.state;
    const session = stclear.authSessions.find(this.handle);
    demand(session !== undefined, 'INVALID_AUTHHANDLE');
    this.#session = session;
    if (protocol !== undefined) demand((protocol === 'OSAP') === this.isBound, 'BAD_MODE');
    if (entity.owner) demand(permanent.data.ownerInstalled, 'AUTHFAIL');
    this.keyIs(this.isBound ? this.#boundKey(entity) : this.#openKey(entity));
  }

  /** The key in an OIAP session: the entity's secret, or that of a delegation in its place. */
  #openKey(entity: Entity): Uint8Array {
    const { ownerReference } = this.#call.state.stclear;
    if (!entity.owner || ownerReference === Handle.OWNER) return entity.secret;
    const { pub, authValue } = findRow(this.#call, ownerReference);
    demandPermission(this.#call, pub, 'owner');
    return authValue;
  }

  /** The key in a session that is bound to this entity; a delegation must cover the command. */
  #boundKey({ owner, key, digest }: Entity): Uint8Array {
    const { protocol, entityDigest, delegation, sharedSecret } = this.session;
    demand(sameSecret(digest, entityDigest), 'AUTHFAIL');
    if (protocol === Protocol.DSAP) {
      demandPermission(this.#call, delegation, owner ? 'owner' : key ? 'key' : 'other');
      if (key !== undefined) demandUnrestricted(this.#call, key);
    }
    return sharedSecret;
  }

  /** Names the key of the HMACs where no session knows it: a secret that came with the command. */
  keyIs(key: Uint8Array): void {
    if (this.#key !== undefined) wipe(this.#key);
    this.#key = key.slice();
  }

  get #hmacKey(): Uint8Array {
    assert(this.#key !== undefined, 'openSession or keyIs comes first');
    return this.#key;
  }

  /** Demands the HMAC of this command. A wrong one counts towards the lockout. */
  check(otherwise: AuthRefusal = 'AUTHFAIL'): void {
    const { nonceOdd, continueAuthSession, authData } = this.#trailer;
    const expected = hmacSha1(
      this.#hmacKey,
      this.#call.inParamDigest,
      this.session.nonceEven,
      nonceOdd,
      encode(bool, continueAuthSession),
    );
    if (sameSecret(expected, authData)) return;
    this.#call.countFailure();
    throw new TpmFault(otherwise);
  }

  /** Opens the guest's session for `entity` and demands that its HMAC is right. */
  authorise(entity: Entity, protocol?: 'OIAP' | 'OSAP', otherwise?: AuthRefusal): void {
    this.openSession(entity, protocol);
    this.check(otherwise);
  }

  /**
   * A new secret that came encrypted in this OSAP session (ADIP): the first of a command under the
   * session's even nonce, the second under the guest's odd one.
   */
  decrypt(encrypted: Uint8Array, rolling: Uint8Array = this.session.nonceEven): Uint8Array {
    const { adipEncScheme, sharedSecret } = this.session;
    return adipEncScheme === AdipScheme.AES128_CTR
      ? ctrCrypt(sharedSecret.subarray(0, 16), rolling.subarray(0, 16), encrypted)
      : xor(encrypted, sha1(sharedSecret, rolling));
  }

  /** The authorisation of the response: a new even nonce, and the HMAC over both. */
  answer(outParamDigest: Uint8Array): Uint8Array {
    const { nonceOdd, continueAuthSession } = this.#trailer;
    const nonceEven = this.#call.tpm.entropy(20);
    this.session.nonceEven = nonceEven;
    const proceed = encode(bool, continueAuthSession);
    const authData = hmacSha1(this.#hmacKey, outParamDigest, nonceEven, nonceOdd, proceed);
    return encode(responseTrailer, { nonceEven, continueAuthSession, authData });
  }

  /** Ends the session with this command, whatever the guest asked for. */
  end(): void {
    this.#trailer.continueAuthSession = false;
  }

  /** Whether the session is bound to one entity. */
  get isBound(): boolean {
    const { protocol } = this.session;
    return protocol === Protocol.OSAP || protocol === Protocol.DSAP;
  }

  /** Whether the session lives on after a command that succeeds. */
  get goesOn(): boolean {
    return this.#trailer.continueAuthSession;
  }

  /** Lets go of the key, and of the session where that ends. */
  close(ends: boolean): void {
    if (this.#key !== undefined) wipe(this.#key);
    if (ends) this.#call.state.stclear.authSessions.remove(this.handle);
  }
}
