/**
 * INT_ENABLE and INT_STATUS of every locality, and the one line that they share. The line is high
 * while the active locality has an enabled event that it has not cleared.
 * Source: the interrupt registers of TCG PC Client TIS 1.3.
 * @module
 */
import { assert } from '../assert.js';
import type { InterruptLine } from './backend.js';
import { LOCALITIES, TIS } from './registers.js';

const { INT_ENABLE, INT_STATUS } = TIS;

/** The events, as bits of INT_STATUS; each has its enabling bit in the same place. */
export const CAUSE = {
  dataAvail: INT_STATUS.mask.dataAvailIntOccured,
  stsValid: INT_STATUS.mask.stsValidIntOccured,
  localityChange: INT_STATUS.mask.localityChangeIntOccured,
  commandReady: INT_STATUS.mask.commandReadyIntOccured,
} as const;

/** The interrupt registers at the moment of saving. */
export interface InterruptState {
  /** INT_ENABLE and INT_STATUS of each locality. */
  readonly enable: readonly number[];
  readonly status: readonly number[];
}

export class Interrupts {
  readonly #line: InterruptLine;
  readonly #enable = new Array<number>(LOCALITIES).fill(INT_ENABLE.reset);
  readonly #status = new Array<number>(LOCALITIES).fill(0);
  #active: number | undefined;
  #level = false;

  constructor(line: InterruptLine) {
    this.#line = line;
  }

  reset(): void {
    this.#enable.fill(INT_ENABLE.reset);
    this.#status.fill(0);
    this.follow(undefined);
  }

  enable(locality: number): number {
    return ofLocality(this.#enable, locality);
  }

  status(locality: number): number {
    return ofLocality(this.#status, locality);
  }

  /** A write of those bits of INT_ENABLE that `lanes` has. */
  setEnable(locality: number, value: number, lanes: number): void {
    const taken = INT_ENABLE.writable & lanes;
    this.#enable[locality] = ((this.enable(locality) & ~taken) | (value & taken)) >>> 0;
    this.#drive();
  }

  clearStatus(locality: number, value: number): void {
    this.#status[locality] = this.status(locality) & ~(value & INT_STATUS.clearable);
    this.#drive();
  }

  /** Something happened to `locality`: interrupts if it has enabled that. */
  raise(locality: number, causes: number): void {
    const enable = this.enable(locality);
    if ((enable & INT_ENABLE.mask.globalIntEnable) === 0) return;
    this.#status[locality] = this.status(locality) | (enable & causes);
    this.#drive();
  }

  /** From now on the line is that of `active`. */
  follow(active: number | undefined): void {
    this.#active = active;
    this.#drive();
  }

  #drive(): void {
    const level = this.#active !== undefined && this.#wants(this.#active);
    if (level === this.#level) return;
    this.#level = level;
    this.#line(level);
  }

  #wants(locality: number): boolean {
    const enable = this.enable(locality);
    return (
      (enable & INT_ENABLE.mask.globalIntEnable) !== 0 && (enable & this.status(locality)) !== 0
    );
  }

  save(): InterruptState {
    return { enable: [...this.#enable], status: [...this.#status] };
  }

  /** The line is driven by the caller's follow(), which says which locality is active. */
  restore(state: InterruptState): void {
    const { enable, status, ...rest } = state;
    rest satisfies Record<string, never>;
    for (let locality = 0; locality < LOCALITIES; locality += 1) {
      this.#enable[locality] = ofLocality(enable, locality);
      this.#status[locality] = ofLocality(status, locality);
    }
  }
}

/** The value of a locality, of which there are five: the address and the saved state were checked. */
function ofLocality(values: readonly number[], locality: number): number {
  const value = values[locality];
  assert(value !== undefined);
  return value;
}
