/**
 * A TPM as a control channel switches it: on after INIT, off after STOP. In between the image stays held,
 * and the store open, so that the resets of a machine (a STOP and an INIT each) cost a reload of the
 * engine. While the TPM is off it has no image at all before its first INIT and after release(); no
 * command runs then.
 * @module
 */
import {
  failResponse,
  type Machine,
  type Platform,
  retryResponse,
  type StateBlobs,
  wasNotRun,
} from '../../machine/index.js';
import type { BlobName, EngineKind } from '../../tpm/engine.js';
import { RESULT, Refusal } from './results.js';

const VERSION: EngineKind['version'] = '1.2';
/** What libtpms 0.9.2 takes for the size of a TPM 1.2's buffer. */
export const BUFFER_BYTES = { min: 0x0c00, max: 0x1000 } as const;

/** Where the result code lies in a response. */
const RESULT_AT = 6;

export class ControlledTpm {
  readonly #machine: Machine;
  readonly #signal: AbortSignal;
  #isOn = false;
  /** What SET_STATEBLOB has brought for the next INIT. */
  readonly #arrived = new Map<BlobName, Uint8Array>();
  /** Of every command from now on; a reset does not change it. */
  locality = 0;
  bufferBytes: number = BUFFER_BYTES.max;

  /** @param signal aborts the wait of a command for the image */
  constructor(machine: Machine, signal: AbortSignal) {
    this.#machine = machine;
    this.#signal = signal;
  }

  get version(): EngineKind['version'] {
    return VERSION;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** The most bytes of a command. */
  get commandBytes(): number {
    return this.#isOn ? this.#machine.commandBytes : BUFFER_BYTES.max;
  }

  /** @throws MachineError PHASE while the TPM is off */
  get platform(): Platform {
    return this.#machine.platform;
  }

  /** Powers on at the start of a server, synchronously. @throws what Machine.powerOn throws */
  powerOn(): void {
    this.#machine.powerOn();
    this.#isOn = true;
  }

  /**
   * Powers on, from the blobs that have arrived if there are any. Where it is on, it starts over.
   * @throws what Machine.powerOn, reset and adopt throw: the TPM is off then
   */
  async init(): Promise<void> {
    await this.settled();
    const machine = this.#machine;
    this.#isOn = false;
    const blobs = new Map(this.#arrived);
    this.#arrived.clear();
    if (blobs.size > 0) {
      // QEMU resets a machine before it loads a snapshot into it; one that arrives was never on.
      const origin = machine.power === 'on' ? 'roll-back' : 'migration';
      if (machine.power === 'on') machine.powerOff();
      machine.adopt(blobs, origin);
    } else if (machine.power === 'on') {
      machine.reset();
    } else {
      machine.powerOn();
    }
    this.#isOn = true;
  }

  /** Switches off, and keeps the image. */
  async stop(): Promise<void> {
    await this.settled();
    this.#isOn = false;
    this.#arrived.clear();
  }

  /**
   * A blob for the next INIT; an empty one stands for none. It has been loaded into an engine when this
   * returns, together with those before it.
   * @throws StateError; Refusal
   */
  expect(name: BlobName, bytes: Uint8Array): void {
    if (bytes.length === 0) {
      this.#arrived.delete(name);
      return;
    }
    const blobs: StateBlobs = new Map([...this.#arrived, [name, bytes]]);
    if (!blobs.has('permall')) {
      throw new Refusal(RESULT.BAD_PARAMETER, `a ${name} blob came before the permanent one`);
    }
    this.#machine.examine(blobs);
    this.#arrived.set(name, bytes);
  }

  /** @throws what Machine.blob throws */
  async blob(name: BlobName): Promise<Uint8Array | undefined> {
    await this.settled();
    return this.#machine.blob(name);
  }

  /** Runs a command of the platform, and gives its result code. */
  command(request: Uint8Array, locality: number): number {
    const response = this.#machine.process(request, locality);
    return new DataView(response.buffer, response.byteOffset).getUint32(RESULT_AT);
  }

  /** Resolves once no command runs, and the image is free. @throws LockError */
  settled(): Promise<void> {
    return this.#machine.whenIdle({ signal: this.#signal });
  }

  /** Power off: the store is closed in order, and the image released. @throws what Machine.powerOff throws */
  release(): void {
    this.#isOn = false;
    this.#arrived.clear();
    this.#machine.powerOff();
  }

  /** Runs a command of the data channel; while the TPM is off the response is TPM_FAIL. */
  process(request: Uint8Array): Uint8Array | Promise<Uint8Array> {
    if (!this.#isOn) return failResponse(VERSION);
    const machine = this.#machine;
    const now = machine.tryProcess(request, this.locality);
    if (now !== undefined) return now;
    return machine
      .execute(request, this.locality, { signal: this.#signal })
      .catch((error: unknown) => {
        if (wasNotRun(error)) return retryResponse(VERSION);
        throw error;
      });
  }
}
