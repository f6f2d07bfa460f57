/**
 * The guest's side of the TIS, as in an operating system: acquires a locality, writes a command to the
 * FIFO, waits, reads the response, and releases the locality. It uses registers only, so it drives our
 * device, another emulator's, or a real one.
 * Source: the command flow of TCG PC Client TIS 1.3; the order of steps is that of Linux's tpm_tis.
 * @module
 */
import { NvtpmError } from '../errors.js';
import { sizeField } from './fifo.js';
import { LOCALITY_SPACE, type Personality, TIS } from './registers.js';

/** Reads and writes of 1 or 4 bytes at an address. */
export interface Bus {
  /** The little-endian value of `size` bytes at `address`. */
  read(address: number, size: number): number;
  /** Writes the low `size` bytes of `value` at `address`. */
  write(address: number, size: number, value: number): void;
}

/** Why the driver did not get a response. */
// biome-ignore format: table
export type TisDriverErrorCode =
  | 'ABSENT'    // No TIS answers at that address.
  | 'LOCALITY'  // The locality could not be acquired, or was lost: another one uses the TPM.
  | 'TIMEOUT'   // The TPM did not reach the expected state within the polls allowed.
  | 'PROTOCOL'; // The TPM is in an unexpected state.

/** A driver of the TIS for one locality, as an operating system has it. */
export class TisDriverError extends NvtpmError {
  override readonly name = 'TisDriverError';
  readonly outcome = 'FAILED';
  readonly code: TisDriverErrorCode;

  constructor(code: TisDriverErrorCode, message: string) {
    super(`TIS: ${message}`);
    this.code = code;
  }
}

/** Where the registers are, and how long the driver polls. */
export interface TisDriverOptions {
  /** Where locality 0 begins on the bus. Default 0, which is where a `Tis` has it. */
  readonly base?: number;
  /** Default 0. */
  readonly locality?: number;
  /** How often a register is read before TIMEOUT. Default 100,000. */
  readonly polls?: number;
  /** Called between two polls: to sleep, or to let the TPM run. */
  readonly wait?: () => void;
  /** The longest response that is accepted, in bytes. Default 4096. */
  readonly responseMax?: number;
}

/** The content of the identification registers. */
export interface TisIdentity {
  readonly family: Personality;
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
}

const HEADER_SIZE = 10;
const ACCESS = TIS.ACCESS.mask;
const STS = TIS.STS.mask;
const STS_UNIT = TIS.STS.unit;

/** A driver of the TIS for one locality, as an operating system has it. */
export class TisDriver {
  readonly #bus: Bus;
  readonly #page: number;
  readonly #polls: number;
  readonly #wait: () => void;
  readonly #responseMax: number;

  constructor(bus: Bus, options: TisDriverOptions = {}) {
    this.#bus = bus;
    this.#page = (options.base ?? 0) + (options.locality ?? 0) * LOCALITY_SPACE;
    this.#polls = options.polls ?? 100_000;
    this.#wait = options.wait ?? (() => {});
    this.#responseMax = options.responseMax ?? 4096;
  }

  /** @throws TisDriverError ABSENT where the identification registers read as an empty bus */
  identify(): TisIdentity {
    const didVid = this.#read(TIS.DID_VID.offset, 4);
    if (didVid === 0 || didVid === 0xffff_ffff) {
      throw new TisDriverError('ABSENT', 'nothing answers at DID_VID; check the address');
    }
    const capability = this.#read(TIS.INTF_CAPABILITY.offset, 4);
    const { mask, unit } = TIS.INTF_CAPABILITY;
    return {
      family: (capability & mask.interfaceVersion) / unit.interfaceVersion === 3 ? '2.0' : '1.2',
      vendor: didVid & 0xffff,
      device: didVid >>> 16,
      revision: this.#read(TIS.RID.offset, 1),
    };
  }

  /**
   * Runs one command and returns the response, whatever its result code.
   * @throws TisDriverError where the device does not follow the protocol. The locality is released.
   */
  transmit(command: Uint8Array): Uint8Array {
    this.#takeLocality();
    try {
      this.#send(command);
      return this.#receive();
    } finally {
      // Also aborts a command that failed.
      this.#write(TIS.STS.offset, 1, STS.commandReady);
      this.#write(TIS.ACCESS.offset, 1, ACCESS.activeLocality);
    }
  }

  #takeLocality(): void {
    const mine = ACCESS.activeLocality | ACCESS.tpmRegValidSts;
    const access = this.#read(TIS.ACCESS.offset, 1);
    if (access === 0xff || (access & ACCESS.tpmRegValidSts) === 0) {
      throw new TisDriverError('ABSENT', 'ACCESS is not valid; check the address');
    }
    this.#write(TIS.ACCESS.offset, 1, ACCESS.requestUse);
    const has = (): boolean => (this.#read(TIS.ACCESS.offset, 1) & mine) === mine;
    if (this.#poll(has)) return;
    // Withdraws the request: else this locality would get the TPM later, and keep it.
    this.#write(TIS.ACCESS.offset, 1, ACCESS.activeLocality);
    throw new TisDriverError('LOCALITY', 'another locality uses the TPM and does not give it up');
  }

  #send(command: Uint8Array): void {
    const last = command.length - 1;
    const lastByte = command[last];
    if (lastByte === undefined) throw new TisDriverError('PROTOCOL', 'the command is empty');
    if ((this.#status() & STS.commandReady) === 0) {
      this.#write(TIS.STS.offset, 1, STS.commandReady);
      this.#await(STS.commandReady, 'ready for a command');
    }
    for (let sent = 0; sent < last; ) {
      const end = Math.min(sent + this.#burst(), last);
      for (const byte of command.subarray(sent, end)) this.#write(TIS.DATA_FIFO.offset, 1, byte);
      sent = end;
      this.#await(STS.stsValid, 'done with a burst');
      if ((this.#status() & STS.expect) === 0) {
        throw new TisDriverError('PROTOCOL', `the TPM takes ${sent} of ${command.length} bytes`);
      }
    }
    this.#burst();
    this.#write(TIS.DATA_FIFO.offset, 1, lastByte);
    this.#await(STS.stsValid, 'done with the command');
    if ((this.#status() & STS.expect) !== 0) {
      throw new TisDriverError('PROTOCOL', 'the TPM expects more bytes than the command has');
    }
    this.#write(TIS.STS.offset, 1, STS.tpmGo);
  }

  #receive(): Uint8Array {
    this.#await(STS.dataAvail | STS.stsValid, 'done with the execution');
    const header = new Uint8Array(HEADER_SIZE);
    this.#take(header, 0);
    const size = sizeField(header);
    if (size < HEADER_SIZE || size > this.#responseMax) {
      throw new TisDriverError('PROTOCOL', `the response claims to have ${size} bytes`);
    }
    const response = new Uint8Array(size);
    response.set(header);
    this.#take(response, HEADER_SIZE);
    this.#await(STS.stsValid, 'done with the response');
    if ((this.#status() & STS.dataAvail) !== 0) {
      throw new TisDriverError('PROTOCOL', 'the TPM has more bytes than its response says');
    }
    return response;
  }

  /** Reads from the FIFO until `into` is full. */
  #take(into: Uint8Array, from: number): void {
    for (let at = from; at < into.length; ) {
      this.#await(STS.dataAvail | STS.stsValid, 'ready with the rest of the response');
      const end = Math.min(at + this.#burst(), into.length);
      for (; at < end; at += 1) into[at] = this.#read(TIS.DATA_FIFO.offset, 1);
    }
  }

  /** How many bytes may be read or written now: at least 1. */
  #burst(): number {
    let burst = 0;
    const some = (): boolean => {
      burst = (this.#status() & STS.burstCount) / STS_UNIT.burstCount;
      return burst > 0;
    };
    if (this.#poll(some)) return burst;
    throw new TisDriverError('TIMEOUT', 'the burst count stays 0');
  }

  #await(bits: number, what: string): void {
    if (this.#poll(() => (this.#status() & bits) === bits)) return;
    const status = this.#status().toString(16).padStart(8, '0');
    throw new TisDriverError('TIMEOUT', `the TPM does not get ${what} (STS is ${status})`);
  }

  #poll(holds: () => boolean): boolean {
    for (let i = 0; i < this.#polls; i += 1) {
      if (holds()) return true;
      this.#wait();
    }
    return false;
  }

  #status(): number {
    const status = this.#read(TIS.STS.offset, 4);
    // All ones is what a locality reads that has not the TPM: every wait would be over at once.
    if (status !== 0xffff_ffff) return status;
    throw new TisDriverError('LOCALITY', 'another locality has taken the TPM');
  }

  #read(register: number, size: number): number {
    return this.#bus.read(this.#page + register, size);
  }

  #write(register: number, size: number, value: number): void {
    this.#bus.write(this.#page + register, size, value);
  }
}
