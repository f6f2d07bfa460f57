/**
 * A TPM client whose TPM is /dev/tpm0 inside the guest: what tpm-tools would do there, had the guest
 * anything but busybox. The bytes go over the serial console; the driver is the kernel's.
 * @module
 */

import { systemEntropy as entropy } from 'nvtpm';
import {
  authorised,
  type Command,
  commands,
  type Exchange,
  encryptTo,
  HANDLE,
  PRESENCE,
  type PubKey,
  plain,
  WELL_KNOWN_SECRET,
} from 'nvtpm/guest';
import type { Console } from './console.js';

const NONCE_BYTES = 20;

export class GuestTpm {
  readonly #console: Console;

  constructor(console: Console) {
    this.#console = console;
  }

  /** Makes the Endorsement Key and gives its modulus in hex. */
  async createEk(): Promise<string> {
    const nonce = entropy(NONCE_BYTES);
    const { publicKey } = await this.#run(commands.createEndorsementKeyPair(nonce));
    return modulusOf(publicKey);
  }

  async takeOwnership(owner: Uint8Array): Promise<void> {
    const { publicKey: ek } = await this.#run(commands.readPubek(entropy(NONCE_BYTES)));
    const secrets = [owner, WELL_KNOWN_SECRET].map(secret => encryptTo(ek, secret));
    await this.#authorise(commands.takeOwnership(secrets[0]!, secrets[1]!), owner);
  }

  /** The modulus of the Endorsement Key in hex, as only the owner can read it. */
  async ownerReadsEk(owner: Uint8Array): Promise<string> {
    return modulusOf(await this.#authorise(commands.ownerReadInternalPub(HANDLE.EK), owner));
  }

  /** Clears the owner, which disables the TPM, and enables it again under physical presence. */
  async clear(owner: Uint8Array): Promise<void> {
    await this.#authorise(commands.ownerClear(), owner);
    await this.#run(commands.physicalPresence(PRESENCE.CMD_ENABLE));
    await this.#run(commands.physicalPresence(PRESENCE.PRESENT));
    await this.#run(commands.physicalEnable());
  }

  async #exchange<T>({ request, verify }: Exchange<T>): Promise<T> {
    return verify(await this.#console.tpm(request));
  }

  #run<T>(command: Command<T>): Promise<T> {
    return this.#exchange(plain(command));
  }

  async #authorise<T>(command: Command<T>, secret: Uint8Array): Promise<T> {
    const session = { ...(await this.#run(commands.oiap())), shared: undefined };
    const nonceOdd = entropy(NONCE_BYTES);
    return (await this.#exchange(authorised(command, { session, secret, nonceOdd }))).value;
  }
}

const modulusOf = ({ modulus }: PubKey): string => Buffer.from(modulus).toString('hex');
