/**
 * The TIS front end of a TPM: the registers that a guest finds at 0xFED40000. Source: TCG PC Client TIS
 * 1.3 (TPM 1.2) and PTP (TPM 2.0); docs/tis.md has the registers, and where QEMU's tpm-tis differs.
 *
 * The guest is the attacker. No access throws, waits, or allocates memory that it keeps; an invalid one
 * is ignored, and is in the trace.
 * @module
 */
import { assert } from '../assert.js';
import { splitAccess } from '../mmio/access.js';
import { safeTrace, type Trace } from '../trace.js';
import type { InterruptLine, TisBackend } from './backend.js';
import { Command } from './command.js';
import { CAUSE, Interrupts } from './interrupts.js';
import { Arbiter } from './locality.js';
import {
  LOCALITY_SPACE,
  ones,
  type Personality,
  type RegisterName,
  SLOTS,
  TIS,
  TIS_BASE,
  TIS_SPACE,
} from './registers.js';
import { checkState, type TisState, TisStateError } from './saved.js';

/** The sizes of a FIFO that a driver can use, in bytes. */
export const BUFFER_MIN = 128;
export const BUFFER_MAX = 4096;

/** The locality of a dynamic launch, the only one with HASH registers. */
const HASH_LOCALITY = 4;

/** The TPM behind the registers, and the device's surroundings. */
export interface TisOptions {
  readonly backend: TisBackend;
  readonly personality: Personality;
  /** Called with the level of the interrupt line whenever it changes. */
  readonly irq?: InterruptLine;
  /** What INT_VECTOR reads: the number of the interrupt that the line is wired to. Default 5. */
  readonly irqVector?: number;
  /**
   * Whether writes to locality 4 reach the device. On a PC the chipset passes only those of the
   * processor's launch microcode; a guest's HASH_START before TPM_Startup would put a TPM 1.2 in failure
   * mode. Default: false.
   */
  readonly locality4?: boolean;
  /** Bytes that a command or response may have: 128 to 4096. Default 4096. */
  readonly bufferSize?: number;
  readonly trace?: Trace;
}

/** The registers of a TPM, as a device on a bus. */
export class Tis {
  // Fixed.
  readonly #backend: TisBackend;
  readonly #personality: Personality;
  readonly #bufferSize: number;
  readonly #irqVector: number;
  readonly #locality4: boolean;
  readonly #writableSpace: number;
  readonly #trace: Trace | undefined;

  // From reset to reset.
  readonly #arbiter = new Arbiter();
  readonly #command: Command;
  readonly #interrupts: Interrupts;
  #interfaceLocked = false;
  #hashing = false;

  constructor(options: TisOptions) {
    const { bufferSize = BUFFER_MAX, irqVector = 5, locality4 = false } = options;
    assert(Number.isInteger(bufferSize) && BUFFER_MIN <= bufferSize && bufferSize <= BUFFER_MAX);
    assert(Number.isInteger(irqVector) && 0 <= irqVector && irqVector <= 15);
    this.#backend = options.backend;
    this.#personality = options.personality;
    this.#bufferSize = bufferSize;
    this.#irqVector = irqVector;
    this.#locality4 = locality4;
    this.#writableSpace = locality4 ? TIS_SPACE : HASH_LOCALITY * LOCALITY_SPACE;
    this.#trace = options.trace && safeTrace(options.trace);
    this.#interrupts = new Interrupts(options.irq ?? (() => {}));
    this.#command = new Command(options.backend, options.personality, bufferSize, {
      raise: causes => {
        if (this.#arbiter.active !== undefined) {
          this.#interrupts.raise(this.#arbiter.active, causes);
        }
      },
      left: () => this.#settle(),
    });
  }

  /** Whether a command runs: then the state cannot be saved. */
  get busy(): boolean {
    return this.#command.state === 'execution';
  }

  /** Reset of the machine. The TPM behind is the caller's to reset. */
  reset(): void {
    this.#command.reset();
    this.#arbiter.reset();
    this.#interrupts.reset();
    this.#interfaceLocked = false;
    this.#hashing = false;
  }

  /**
   * A read of `size` bytes (1, 2 or 4) at `offset` from 0xFED40000, aligned or not. Little-endian.
   * Outside of the window, or with another size, it reads as ones.
   */
  read(offset: number, size: number): number {
    if (!fits(offset, size, TIS_SPACE)) return ones(size);
    const value = offset % size === 0 ? this.#load(offset, size) : this.#gather(offset, size);
    this.#report('read', offset, size, value);
    return value;
  }

  /** A write of `size` bytes (1, 2 or 4) at `offset` from 0xFED40000, aligned or not. */
  write(offset: number, size: number, value: number): void {
    if (!fits(offset, size, TIS_SPACE)) return;
    this.#report('write', offset, size, value);
    if (offset % size === 0) this.#store(offset, size, (value & ones(size)) >>> 0);
    else this.#scatter(offset, size, value >>> 0);
  }

  /** A read of 8 bytes, split into smaller ones. */
  read64(offset: number): bigint {
    let value = 0n;
    splitAccess(offset, 8, (at, size, done) => {
      value |= BigInt(this.read(at, size)) << BigInt(8 * done);
    });
    return value;
  }

  /** A write of 8 bytes, split into smaller ones. */
  write64(offset: number, value: bigint): void {
    splitAccess(offset, 8, (at, size, done) => {
      this.write(at, size, Number(BigInt.asUintN(32, value >> BigInt(8 * done))));
    });
  }

  /** An unaligned read. */
  #gather(offset: number, size: number): number {
    let value = 0;
    splitAccess(offset, size, (at, step, done) => {
      value += this.#load(at, step) * 0x100 ** done;
    });
    return value;
  }

  /** An unaligned write. */
  #scatter(offset: number, size: number, value: number): void {
    splitAccess(offset, size, (at, step, done) => {
      this.#store(at, step, (value >>> (8 * done)) & ones(step));
    });
  }

  /** A read that lies within 4 aligned bytes. */
  #load(offset: number, size: number): number {
    const locality = offset >>> 12;
    const name = SLOTS[(offset >>> 2) & 0x3ff];
    if (name === undefined || !this.#reaches(TIS[name].reads, locality)) return ones(size);
    if (name === 'DATA_FIFO' || name === 'XDATA_FIFO') return this.#command.read(size);
    const raw = this.#register(name, locality, size);
    return size === 4 ? raw : (raw >>> (8 * (offset & 3))) & ones(size);
  }

  #register(name: RegisterName, locality: number, size: number): number {
    switch (name) {
      case 'ACCESS':
        return this.#arbiter.access(locality, this.#backend.established());
      case 'INT_ENABLE':
        return this.#interrupts.enable(locality);
      case 'INT_VECTOR':
        return this.#irqVector;
      case 'INT_STATUS':
        return this.#interrupts.status(locality);
      case 'INTF_CAPABILITY':
        return INTF_CAPABILITY[this.#personality];
      case 'STS':
        // A driver that reads burstCount byte by byte must not see 0 where it is 256.
        return this.#command.status(size === 1 ? 0xff : 0xffff);
      case 'INTERFACE_ID':
        if (this.#personality === '1.2') return 0xffff_ffff;
        return TIS.INTERFACE_ID.reset + (this.#interfaceLocked ? LOCK : 0);
      default:
        return TIS[name].reset;
    }
  }

  /** A write that lies within 4 aligned bytes. */
  #store(offset: number, size: number, value: number): void {
    const locality = offset >>> 12;
    const name = SLOTS[(offset >>> 2) & 0x3ff];
    if (name === undefined || offset >= this.#writableSpace) return;
    if (this.#hashing) this.#storeHash(name, locality, offset, size, value);
    else if (this.#reaches(TIS[name].writes, locality)) {
      this.#storeRegister(name, locality, offset, size, value);
    }
  }

  #storeRegister(
    name: RegisterName,
    locality: number,
    offset: number,
    size: number,
    value: number,
  ): void {
    const shift = 8 * (offset & 3);
    const placed = (value << shift) >>> 0;
    switch (name) {
      case 'ACCESS':
        if (this.#arbiter.write(locality, placed) && this.#command.leave()) this.#settle();
        return;
      case 'INT_ENABLE':
        this.#interrupts.setEnable(locality, placed, (ones(size) << shift) >>> 0);
        return;
      case 'INT_STATUS':
        this.#interrupts.clearStatus(locality, placed);
        return;
      case 'STS':
        this.#resetEstablished(locality, placed);
        this.#command.control(placed, locality);
        return;
      case 'DATA_FIFO':
      case 'XDATA_FIFO':
        this.#command.write(value, size);
        return;
      case 'INTERFACE_ID':
        if (this.#personality === '2.0' && placed & LOCK) this.#interfaceLocked = true;
        return;
      case 'HASH_START':
        if ((offset & 3) === 0) this.#startHash();
        return;
    }
  }

  /** Between HASH_START and HASH_END nothing else acts; other localities may request the TPM. */
  #storeHash(
    name: RegisterName,
    locality: number,
    offset: number,
    size: number,
    value: number,
  ): void {
    if (locality !== HASH_LOCALITY) {
      if (name === 'ACCESS') this.#arbiter.write(locality, (value << (8 * (offset & 3))) >>> 0);
      return;
    }
    switch (name) {
      case 'DATA_FIFO':
        this.#backend.hashData(littleEndian(value, size));
        return;
      case 'HASH_START':
        if ((offset & 3) === 0) this.#startHash();
        return;
      case 'HASH_END':
        if ((offset & 3) !== 0) return;
        this.#hashing = false;
        this.#backend.hashEnd();
        this.#settle();
        return;
    }
  }

  /** A measured launch begins, unless software has the TPM or a command runs. */
  #startHash(): void {
    const { active } = this.#arbiter;
    if (this.busy || (active !== undefined && active !== HASH_LOCALITY)) return;
    this.#command.leave();
    this.#hashing = true;
    this.#arbiter.grant(HASH_LOCALITY);
    this.#interrupts.follow(HASH_LOCALITY);
    this.#backend.hashStart();
    this.#trace?.({ event: 'locality', active: HASH_LOCALITY });
  }

  #resetEstablished(locality: number, value: number): void {
    const { state } = this.#command;
    const allowed = this.#personality === '2.0' && locality >= 3;
    if (!allowed || (value & TIS.STS.mask.resetEstablishmentBit) === 0) return;
    if (state === 'idle' || state === 'ready') this.#backend.resetEstablished?.(locality);
  }

  /** The active locality has released the TPM, or has lost it, and no command runs. */
  #settle(): void {
    this.#arbiter.settle();
    const { active } = this.#arbiter;
    this.#interrupts.follow(active);
    if (active !== undefined) this.#interrupts.raise(active, CAUSE.localityChange);
    this.#trace?.({ event: 'locality', active });
  }

  #reaches(reach: (typeof TIS)[RegisterName]['reads'], locality: number): boolean {
    if (reach === 'any') return true;
    if (reach === 'active') return this.#arbiter.active === locality;
    return reach === 'locality 4' && locality === HASH_LOCALITY;
  }

  /** The bytes of the FIFO may be secrets, and are not in the trace. */
  #report(access: 'read' | 'write', offset: number, size: number, value: number): void {
    if (this.#trace === undefined) return;
    const name = SLOTS[(offset >>> 2) & 0x3ff];
    const secret = name === 'DATA_FIFO' || name === 'XDATA_FIFO';
    this.#trace({
      event: 'register',
      access,
      address: TIS_BASE + offset,
      size,
      value: secret ? undefined : value,
    });
  }

  /**
   * Everything that a guest can observe, as plain data that survives JSON.
   * @throws TisStateError BUSY while a command runs: end or cancel it first.
   */
  saveState(): TisState {
    if (this.busy) throw new TisStateError('BUSY', ['a command is running']);
    return {
      kind: 'nvtpm-tis',
      version: 1,
      personality: this.#personality,
      bufferSize: this.#bufferSize,
      localities: this.#arbiter.save(),
      command: this.#command.save(),
      interrupts: this.#interrupts.save(),
      interfaceLocked: this.#interfaceLocked,
      hashing: this.#hashing,
    };
  }

  /**
   * Continues from another device's saved state. Nothing changes if the state is refused.
   * @throws TisStateError with every rule that the state breaks.
   */
  restoreState(state: unknown): void {
    const sound = checkState(state, {
      personality: this.#personality,
      bufferSize: this.#bufferSize,
      locality4: this.#locality4,
    });
    const { kind, version, personality, bufferSize, ...parts } = sound;
    const { localities, command, interrupts, interfaceLocked, hashing, ...rest } = parts;
    rest satisfies Record<string, never>;
    this.#command.restore(command);
    this.#arbiter.restore(localities);
    this.#interrupts.restore(interrupts);
    this.#interfaceLocked = interfaceLocked;
    this.#hashing = hashing;
    this.#interrupts.follow(this.#arbiter.active);
  }
}

const LOCK = TIS.INTERFACE_ID.mask.intfSelLock;

const INTF_CAPABILITY: Readonly<Record<Personality, number>> = {
  '1.2': TIS.INTF_CAPABILITY.reset,
  '2.0': TIS.INTF_CAPABILITY.reset + TIS.INTF_CAPABILITY.unit.interfaceVersion,
};

/** Whether this is an access of 1, 2 or 4 bytes that lies in the first `space` bytes. */
const fits = (offset: number, size: number, space: number): boolean =>
  (size === 1 || size === 2 || size === 4) &&
  Number.isInteger(offset) &&
  offset >= 0 &&
  offset + size <= space;

function littleEndian(value: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0, rest = value; i < size; i += 1, rest >>>= 8) bytes[i] = rest & 0xff;
  return bytes;
}
