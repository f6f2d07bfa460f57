/**
 * A TPM as a control channel switches it: on after INIT, off after STOP. In between the image stays held,
 * and the store open, so that the resets of a machine (a STOP and an INIT each) cost a reload of the
 * engine. It has no image before its first INIT, after release(), and after it was handed over to the
 * destination of a migration; no command runs then. What was handed over is taken back only where the
 * image says that no other instance has become active: QEMU ignores a refusal.
 * @module
 */
import { NvtpmError } from '../../errors.js';
import {
  failResponse,
  type Machine,
  type Origin,
  type Platform,
  retryResponse,
  type StateBlobs,
  type StoreInfo,
  wasNotRun,
} from '../../machine/index.js';
import { takeBack } from '../../migration/index.js';
import type { BlobName, EngineKind } from '../../tpm/engine.js';
import { RESULT, Refusal } from './results.js';

const VERSION: EngineKind['version'] = '1.2';
/** What libtpms 0.9.2 takes for the size of a TPM 1.2's buffer. */
export const BUFFER_BYTES = { min: 0x0c00, max: 0x1000 } as const;

/** Where the result code lies in a response. */
const RESULT_AT = 6;

export interface ControlledOptions {
  /** Makes the machine; another one once that one is gone, for the next virtual machine. */
  readonly machine: () => Machine;
  /** Aborts the wait of a command for the image. */
  readonly signal: AbortSignal;
  /** Called with a sentence for the log. */
  readonly notice: (sentence: string) => void;
  /** What the state blobs before the first INIT are; see Machine.adopt. */
  readonly arrival: Origin;
  /** Whether reading the saved state, the last blob of a migration, hands the image over. */
  readonly handsOver: boolean;
}

export class ControlledTpm {
  readonly #options: ControlledOptions;
  #machine: Machine;
  #isOn = false;
  /** Whether no INIT has succeeded since the last release. */
  #isFresh = true;
  /** What SET_STATEBLOB has brought for the next INIT. */
  readonly #arrived = new Map<BlobName, Uint8Array>();
  /** Why the last command had no image, for the log. */
  #withheld: string | undefined;
  /** Of every command from now on; a reset does not change it. */
  locality = 0;
  bufferBytes: number = BUFFER_BYTES.max;

  constructor(options: ControlledOptions) {
    this.#options = options;
    this.#machine = options.machine();
  }

  get version(): EngineKind['version'] {
    return VERSION;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** The most bytes of a command. */
  get commandBytes(): number {
    return this.#machine.power === 'on' ? this.#machine.commandBytes : BUFFER_BYTES.max;
  }

  /** @throws MachineError PHASE while the TPM is off */
  get platform(): Platform {
    return this.#machine.platform;
  }

  /**
   * Looks at the image that a state will arrive on, synchronously. Writes nothing.
   * @throws what Machine.validate throws
   */
  validate(): void {
    this.#machine.validate();
  }

  /** Powers on at the start of a server, synchronously. @throws what Machine.powerOn throws */
  powerOn(): void {
    this.#machine.powerOn();
    this.#isOn = true;
    this.#isFresh = false;
  }

  /**
   * Powers on, from the blobs that have arrived if there are any. Where it is on, it starts over.
   * @throws what Machine.powerOn, reset and adopt throw: the TPM is off then; what hold throws
   */
  async init(): Promise<void> {
    await this.settled();
    this.#isOn = false;
    const blobs = new Map(this.#arrived);
    this.#arrived.clear();
    if (this.#machine.power !== 'off') await this.hold();
    const machine = this.#machine;
    if (blobs.size > 0) {
      // QEMU resets a machine before it loads a snapshot into it; one that arrives was never on.
      const origin = this.#isFresh ? this.#options.arrival : 'roll-back';
      if (machine.power === 'on') machine.powerOff();
      machine.adopt(blobs, origin);
    } else if (machine.power === 'on') {
      machine.reset();
    } else {
      machine.powerOn();
    }
    this.#isOn = true;
    this.#isFresh = false;
  }

  /** Switches off, and keeps the image. */
  async stop(): Promise<void> {
    await this.settled();
    this.#isOn = false;
    this.#arrived.clear();
  }

  /**
   * A blob for the next INIT; an empty one stands for none. It has been loaded into an engine when this
   * returns, together with those before it. Where the image was handed over with it, that is validated
   * first.
   * @throws StateError; Refusal; what Machine.validate throws
   */
  async expect(name: BlobName, bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) {
      this.#arrived.delete(name);
      return;
    }
    const blobs: StateBlobs = new Map([...this.#arrived, [name, bytes]]);
    if (!blobs.has('permall')) {
      throw new Refusal(RESULT.BAD_PARAMETER, `a ${name} blob came before the permanent one`);
    }
    const { arrival, signal } = this.#options;
    const isFromSource = arrival === 'hand-over' && this.#isFresh;
    if (isFromSource && name === 'permall') await this.#machine.validateWhenFree({ signal });
    this.#machine.examine(blobs);
    this.#arrived.set(name, bytes);
  }

  /** @throws what Machine.blob throws */
  async blob(name: BlobName): Promise<Uint8Array | undefined> {
    await this.settled();
    return this.#machine.blob(name);
  }

  /**
   * A blob for a migration; the last one leaves the image to the destination, if this server does that.
   * From then on no command runs, until hold() has taken it back. A fault is for the destination to
   * find, since with return-path a QEMU 7.2 hangs for good when its backend refuses a blob: it gets a blob
   * that no TPM accepts, or an image that was not handed over.
   * @throws what Machine.blob and Machine.handOver throw, unless this server hands the image over
   */
  async outgoing(name: BlobName): Promise<Uint8Array | undefined> {
    const { handsOver, notice } = this.#options;
    if (!handsOver) return this.blob(name);
    const refused = (error: unknown, what: string): void => {
      if (!(error instanceof NvtpmError)) throw error;
      notice(`${what}, which the destination will refuse: ${error.message}`);
    };
    const blob = await this.blob(name).catch((error: unknown) => {
      refused(error, `the ${name} blob is sent as an unusable one`);
      return UNUSABLE;
    });
    if (name !== LAST_BLOB) return blob;
    try {
      this.#machine.handOver();
      notice('the image was handed over, with the last state blob');
    } catch (error) {
      refused(error, 'the image is not handed over');
    }
    return blob;
  }

  /**
   * Makes sure that the TPM has its image: one that was handed over is taken back, unless another
   * instance has become active.
   * @param timeoutMs how long to try, while the image is locked
   * @throws Refusal; NvramError CORRUPT, and what else has ended the machine
   */
  async hold(timeoutMs = 0): Promise<void> {
    const machine = this.#machine;
    const { signal, notice } = this.#options;
    if (machine.power === 'handed over') {
      const found = await takeBack(handedOver(machine), { signal, timeoutMs });
      if (found.is === 'unknown') throw new Refusal(RESULT.FAIL, found.why);
      if (found.is === 'back') notice('the image was taken back');
    }
    if (machine.power === 'on') return;
    throw new Refusal(RESULT.FAIL, WITHOUT_IMAGE[machine.power === 'gone' ? 'gone' : 'off']);
  }

  /** Runs a command of the platform, and gives its result code. */
  command(request: Uint8Array, locality: number): number {
    const response = this.#machine.process(request, locality);
    return new DataView(response.buffer, response.byteOffset).getUint32(RESULT_AT);
  }

  /** Resolves once no command runs, and the image is free. @throws LockError */
  settled(): Promise<void> {
    return this.#machine.whenIdle({ signal: this.#options.signal });
  }

  /**
   * Power off: the store is closed in order, and the image released, to be taken by the next INIT.
   * @throws what Machine.powerOff throws
   */
  release(): void {
    this.#isOn = false;
    this.#isFresh = true;
    this.#arrived.clear();
    this.#machine.powerOff();
    if (this.#machine.power === 'gone') this.#machine = this.#options.machine();
  }

  /**
   * Power off for the last time.
   * @returns the state of its store; undefined where it had none
   * @throws why the TPM was in failure mode; what powering off throws
   */
  end(): Pick<StoreInfo, 'generation' | 'epoch'> | undefined {
    const machine = this.#machine;
    const { failure } = machine;
    const store = machine.power === 'on' ? machine.storeInfo : undefined;
    machine.powerOff();
    if (store === undefined) return undefined;
    if (failure !== undefined) throw failure;
    return { generation: store.generation, epoch: store.epoch };
  }

  /** Writes nothing more: what was acknowledged is stored. */
  cutPower(): void {
    this.#machine.cutPower();
  }

  /** Runs a command of the data channel. Without an image, or off, the response is TPM_FAIL. */
  process(request: Uint8Array): Uint8Array | Promise<Uint8Array> {
    if (!this.#isOn || !this.#holdsNow()) return failResponse(VERSION);
    const machine = this.#machine;
    const now = machine.tryProcess(request, this.locality);
    if (now !== undefined) return now;
    const { signal } = this.#options;
    return machine.execute(request, this.locality, { signal }).catch((error: unknown) => {
      if (wasNotRun(error)) return retryResponse(VERSION);
      throw error;
    });
  }

  /** hold() without waiting: one try. */
  #holdsNow(): boolean {
    const machine = this.#machine;
    if (machine.power === 'on') return true;
    let why: string = WITHOUT_IMAGE[machine.power === 'gone' ? 'gone' : 'off'];
    if (machine.power === 'handed over') {
      try {
        machine.takeBack();
        this.#options.notice('the image was taken back for a command');
        return true;
      } catch (error) {
        if (!(error instanceof NvtpmError)) throw error;
        why = error.message;
      }
    }
    if (why !== this.#withheld) {
      this.#options.notice(`commands are answered TPM_FAIL: ${why}`);
    }
    this.#withheld = why;
    return false;
  }
}

/** The one that QEMU reads last, also where it is absent. */
const LAST_BLOB: BlobName = 'savestate';
const UNUSABLE = new TextEncoder().encode('the source could not read the state of its TPM');

const WITHOUT_IMAGE = {
  off: 'the TPM has no image before CMD_INIT',
  gone: 'the TPM is active elsewhere: the destination of the migration has taken the image over',
};

/** A command may have taken it back while takeBack() waits. */
const handedOver = (machine: Machine) => ({
  takeBack: (): void => {
    if (machine.power === 'handed over') machine.takeBack();
  },
});
