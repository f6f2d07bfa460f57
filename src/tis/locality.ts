/**
 * Which locality is active: localities request the TPM, wait, seize it from a lower one, and release it.
 * Source: the ACCESS register of TCG PC Client TIS 1.3. The result of a write that requests several things
 * at once is the vendor's choice, and is QEMU's here.
 * @module
 */
import { LOCALITIES, TIS } from './registers.js';

const { mask } = TIS.ACCESS;

/** Which locality is active, and which ones wait, at the moment of saving. */
export interface ArbiterState {
  /** The active locality, null for none. */
  readonly active: number | null;
  /** For each locality. */
  readonly requestUse: readonly boolean[];
  readonly beenSeized: readonly boolean[];
}

/**
 * The active locality changes in two steps, because a running command has to end first: a write only
 * returns that a change is due, and `settle` makes it.
 */
export class Arbiter {
  #active: number | undefined;
  /** One bit for each locality. */
  #requestUse = 0;
  #beenSeized = 0;
  /** The highest locality that seizes the TPM, while the running command ends. */
  #seizer: number | undefined;

  get active(): number | undefined {
    return this.#active;
  }

  reset(): void {
    this.#active = undefined;
    this.#seizer = undefined;
    this.#requestUse = 0;
    this.#beenSeized = 0;
  }

  /** The ACCESS register as `locality` reads it. */
  access(locality: number, established: boolean): number {
    let value = mask.tpmRegValidSts;
    if (!established) value += mask.tpmEstablishment;
    if (this.#requestUse & bitOf(locality)) value += mask.requestUse;
    if (this.#requestUse & ~bitOf(locality)) value += mask.pendingRequest;
    if (this.#beenSeized & bitOf(locality)) value += mask.beenSeized;
    if (this.#active === locality) value += mask.activeLocality;
    return value;
  }

  /** A write to ACCESS. True where the active locality changes: settle() is then due. */
  write(locality: number, value: number): boolean {
    if (value & mask.beenSeized) this.#beenSeized &= ~bitOf(locality);
    if (value & mask.seize) return this.#seize(locality);
    if (value & mask.activeLocality) {
      if (this.#active === locality) return true;
      this.#requestUse &= ~bitOf(locality);
    }
    if (value & mask.requestUse && this.#active !== locality) {
      this.#requestUse |= bitOf(locality);
      return this.#active === undefined;
    }
    return false;
  }

  #seize(locality: number): boolean {
    const rival = this.#seizer ?? this.#active;
    if (rival !== undefined && locality <= rival) return false;
    this.#seizer = locality;
    return true;
  }

  /** Activates the locality that seizes the TPM, else the highest that waits, else none. */
  settle(): void {
    const heir = this.#seizer ?? highest(this.#requestUse);
    if (this.#seizer !== undefined && this.#active !== undefined) {
      this.#beenSeized |= bitOf(this.#active);
    }
    this.#seizer = undefined;
    if (heir !== undefined) this.#requestUse &= ~bitOf(heir);
    this.#active = heir;
  }

  /** Activates `locality` without a request: what HASH_START does. */
  grant(locality: number): void {
    this.#requestUse &= ~bitOf(locality);
    this.#active = locality;
  }

  save(): ArbiterState {
    return {
      active: this.#active ?? null,
      requestUse: unpack(this.#requestUse),
      beenSeized: unpack(this.#beenSeized),
    };
  }

  restore(state: ArbiterState): void {
    const { active, requestUse, beenSeized, ...rest } = state;
    rest satisfies Record<string, never>;
    this.#active = active ?? undefined;
    this.#seizer = undefined;
    this.#requestUse = pack(requestUse);
    this.#beenSeized = pack(beenSeized);
  }
}

const bitOf = (locality: number): number => 1 << locality;

/** The highest locality whose bit is set. */
const highest = (bits: number): number | undefined =>
  bits === 0 ? undefined : 31 - Math.clz32(bits);

const unpack = (bits: number): boolean[] =>
  Array.from({ length: LOCALITIES }, (_, locality) => (bits & bitOf(locality)) !== 0);

const pack = (flags: readonly boolean[]): number =>
  flags.reduce((bits, flag, locality) => (flag ? bits | bitOf(locality) : bits), 0);
