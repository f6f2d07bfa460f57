/**
 * The guest of the demonstration: TPM commands through the TIS registers and nothing else. Its secrets
 * are public.
 * @module
 */
import {
  commands,
  HANDLE,
  NV_PER,
  nvPublic,
  RESULT,
  STARTUP,
  secretOf,
  Tpm12Client,
  TpmResponseError,
  WELL_KNOWN_SECRET,
} from '../../guest/index.js';
import type { Machine } from '../../machine/index.js';
import { systemEntropy as entropy } from '../../system.js';
import { TisDriver } from '../../tis/index.js';
import { fingerprint } from '../fingerprint.js';

const OWNER = secretOf('the owner of the demonstration');
const WRONG_SECRET = secretOf('a wrong secret');
/** By which an image of the demonstration is recognised. */
export const NV_INDEX = 0x0001_1101;
const NV_BYTES = new TextEncoder().encode('.nvtpm keeps what a TPM must keep');
const PCR = 10;

export class Guest {
  readonly #client: Tpm12Client;

  constructor(machine: Machine) {
    const driver = new TisDriver(machine.tis);
    this.#client = new Tpm12Client(command => driver.transmit(command), entropy);
  }

  startup(): void {
    this.#client.run(commands.startup(STARTUP.CLEAR));
  }

  /** Creates the EK. @returns its fingerprint */
  createEk(): string {
    return fingerprint(this.#client.createEndorsementKeyPair().modulus);
  }

  /** The EK's fingerprint, which needs no authorisation while there is no owner. */
  readEk(): string {
    return fingerprint(this.#client.readPubek().modulus);
  }

  takeOwnership(): void {
    this.#client.takeOwnership(OWNER, WELL_KNOWN_SECRET);
  }

  /** The EK's fingerprint, read with the owner's authorisation. */
  ownerReadsEk(): string {
    return fingerprint(this.#client.ownerReadInternalPub(HANDLE.EK, OWNER).modulus);
  }

  /** The result of a command under a wrong secret. */
  useWrongSecret(): { result: number; name: string } {
    try {
      this.#client.ownerReadInternalPub(HANDLE.EK, WRONG_SECRET);
    } catch (error) {
      if (!(error instanceof TpmResponseError)) throw error;
      return { result: error.result, name: error.resultName };
    }
    return { result: RESULT.SUCCESS, name: 'TPM_SUCCESS' };
  }

  nvDefine(): void {
    const pub = nvPublic(NV_INDEX, NV_BYTES.length, NV_PER.OWNERREAD | NV_PER.OWNERWRITE);
    this.#client.nvDefineSpace(pub, OWNER, WELL_KNOWN_SECRET);
  }

  /** Writes the NV index; `mark` makes one write differ from the next. */
  nvWrite(mark: number): void {
    const data = NV_BYTES.slice();
    data[0] = mark;
    this.#client.authorise(commands.nvWriteValue(NV_INDEX, 0, data), OWNER);
  }

  /** The text in the NV index, without the mark. */
  nvRead(): string {
    const command = commands.nvReadValue(NV_INDEX, 0, NV_BYTES.length);
    return new TextDecoder().decode(this.#client.authorise(command, OWNER).subarray(1));
  }

  /** Extends a PCR: volatile state, which a migration must carry. */
  extend(): string {
    return Buffer.from(this.#client.run(commands.extend(PCR, secretOf('a measurement')))).toString(
      'hex',
    );
  }

  pcr(): string {
    return Buffer.from(this.#client.run(commands.pcrRead(PCR))).toString('hex');
  }
}

/** What the TPM answers to a wrong secret. */
export const WRONG_SECRET_RESULT = RESULT.AUTHFAIL;

/** What nvRead() returns if nothing was lost. */
export const NV_TEXT = new TextDecoder().decode(NV_BYTES.subarray(1));
