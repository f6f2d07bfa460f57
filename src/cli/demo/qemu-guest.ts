/**
 * The guest of the demonstration with QEMU: TPM commands that the boot sector runs. Its secrets are
 * public.
 * @module
 */
import {
  authorised,
  type Command,
  commands,
  ENTITY,
  encryptAuth,
  encryptTo,
  HANDLE,
  NV_PER,
  nvPublic,
  osapShared,
  plain,
  type Session,
  secretOf,
  TpmResponseError,
  WELL_KNOWN_SECRET,
} from '../../guest/index.js';
import { systemEntropy as entropy } from '../../system.js';
import { fingerprint } from '../fingerprint.js';
import { NV_INDEX, NV_TEXT } from './guest.js';
import type { VirtualMachine } from './virtual-machine.js';

const OWNER = secretOf('the owner of the demonstration');
const WRONG_SECRET = secretOf('a wrong secret');
const NONCE_BYTES = 20;
const NV_BYTES = new TextEncoder().encode(NV_TEXT);

export class QemuGuest {
  readonly #machine: VirtualMachine;

  constructor(machine: VirtualMachine) {
    this.#machine = machine;
  }

  /** Creates the EK. @returns its fingerprint */
  async createEk(): Promise<string> {
    const { publicKey } = await this.#run(commands.createEndorsementKeyPair(entropy(NONCE_BYTES)));
    return fingerprint(publicKey.modulus);
  }

  async takeOwnership(): Promise<void> {
    const { publicKey: ek } = await this.#run(commands.readPubek(entropy(NONCE_BYTES)));
    const [owner, srk] = [encryptTo(ek, OWNER), encryptTo(ek, WELL_KNOWN_SECRET)];
    await this.#authorise(commands.takeOwnership(owner, srk), OWNER);
  }

  /** The EK's fingerprint, read with the owner's authorisation. */
  async ownerReadsEk(): Promise<string> {
    const { modulus } = await this.#authorise(commands.ownerReadInternalPub(HANDLE.EK), OWNER);
    return fingerprint(modulus);
  }

  /** Defines the NV index by which an image of the demonstration is recognised, and writes a text. */
  async nvStore(): Promise<void> {
    const pub = nvPublic(NV_INDEX, NV_BYTES.length, NV_PER.OWNERREAD | NV_PER.OWNERWRITE);
    const session = await this.#openOsap();
    const encrypted = encryptAuth(session, WELL_KNOWN_SECRET);
    await this.#under(session, commands.nvDefineSpace(pub, encrypted), OWNER);
    await this.#authorise(commands.nvWriteValue(NV_INDEX, 0, NV_BYTES), OWNER);
  }

  /** The text in the NV index. */
  async nvRead(): Promise<string> {
    const command = commands.nvReadValue(NV_INDEX, 0, NV_BYTES.length);
    return new TextDecoder().decode(await this.#authorise(command, OWNER));
  }

  /** The name of the result of a command under a wrong secret. */
  async useWrongSecret(): Promise<string> {
    try {
      await this.#authorise(commands.ownerReadInternalPub(HANDLE.EK), WRONG_SECRET);
    } catch (error) {
      if (!(error instanceof TpmResponseError)) throw error;
      return error.resultName;
    }
    return 'TPM_SUCCESS';
  }

  /** What SeaBIOS has measured into PCR 0. */
  async pcr(): Promise<string> {
    return Buffer.from(await this.#run(commands.pcrRead(0))).toString('hex');
  }

  async #run<T>(command: Command<T>): Promise<T> {
    const { request, verify } = plain(command);
    return verify(await this.#machine.transmit(request));
  }

  async #authorise<T>(command: Command<T>, secret: Uint8Array): Promise<T> {
    const session = { ...(await this.#run(commands.oiap())), shared: undefined };
    return this.#under(session, command, secret);
  }

  async #openOsap(): Promise<Session> {
    const nonceOdd = entropy(NONCE_BYTES);
    const { handle, nonceEven, nonceEvenOsap } = await this.#run(
      commands.osap(ENTITY.OWNER, HANDLE.OWNER, nonceOdd),
    );
    return { handle, nonceEven, shared: osapShared(OWNER, nonceEvenOsap, nonceOdd) };
  }

  async #under<T>(session: Session, command: Command<T>, secret: Uint8Array): Promise<T> {
    const { request, verify } = authorised(command, {
      session,
      secret,
      nonceOdd: entropy(NONCE_BYTES),
    });
    return verify(await this.#machine.transmit(request)).value;
  }
}
