/**
 * Who has the TPM: localities ask for it, wait, take it from a lower one, and give it up.
 * Source: the ACCESS register of TCG PC Client TIS 1.3. One write may ask for several things at
 * once; what then happens is the vendor's choice, and is QEMU's here.
 * @module
 */
import { LOCALITIES, TIS } from './registers.js';

const { mask } = TIS.ACCESS;

export interface ArbiterState {
  /** The locality that has the TPM, null for none. */
  readonly active: number | null;
  /** For each locality. */
  readonly requestUse: readonly boolean[];
  readonly beenSeized: readonly boolean[];
}

/**
 * Changes of the locality in use happen in two steps, because a running command has to end first:
 * a write only says that the locality is to `leave`, and `settle` makes the change.
 */
export class Arbiter {
  #active: number | undefined;
  readonly #requestUse = new Array<boolean>(LOCALITIES).fill(false);
  readonly #beenSeized = new Array<boolean>(LOCALITIES).fill(false);
  /** The highest locality that seizes the TPM, while the running command ends. */
  #seizer: number | undefined;

  get active(): number | undefined {
    return this.#active;
  }

  reset(): void {
    this.#active = undefined;
    this.#seizer = undefined;
    this.#requestUse.fill(false);
    this.#beenSeized.fill(false);
  }

  /** The ACCESS register as `locality` reads it. */
  access(locality: number, established: boolean): number {
    let value = mask.tpmRegValidSts;
    if (!established) value += mask.tpmEstablishment;
    if (this.#requestUse[locality]) value += mask.requestUse;
    if (this.#requestUse.some((waits, other) => waits && other !== locality)) {
      value += mask.pendingRequest;
    }
    if (this.#beenSeized[locality]) value += mask.beenSeized;
    if (this.#active === locality) value += mask.activeLocality;
    return value;
  }

  /** A write to ACCESS. True where the locality in use changes: settle() is then due. */
  write(locality: number, value: number): boolean {
    if (value & mask.beenSeized) this.#beenSeized[locality] = false;
    if (value & mask.seize) return this.#seize(locality);
    if (value & mask.activeLocality) {
      if (this.#active === locality) return true;
      this.#requestUse[locality] = false;
    }
    if (value & mask.requestUse && this.#active !== locality) {
      this.#requestUse[locality] = true;
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

  /** Gives the TPM to the one who seizes it, else to the highest that waits, else to nobody. */
  settle(): void {
    const heir = this.#seizer ?? this.#requestUse.lastIndexOf(true);
    if (this.#seizer !== undefined && this.#active !== undefined) {
      this.#beenSeized[this.#active] = true;
    }
    this.#seizer = undefined;
    if (heir >= 0) this.#requestUse[heir] = false;
    this.#active = heir < 0 ? undefined : heir;
  }

  /** Gives the TPM to `locality` without its asking: what HASH_START does. */
  grant(locality: number): void {
    this.#requestUse[locality] = false;
    this.#active = locality;
  }

  save(): ArbiterState {
    return {
      active: this.#active ?? null,
      requestUse: [...this.#requestUse],
      beenSeized: [...this.#beenSeized],
    };
  }

  restore(state: ArbiterState): void {
    const { active, requestUse, beenSeized, ...rest } = state;
    rest satisfies Record<string, never>;
    this.reset();
    this.#active = active ?? undefined;
    for (let locality = 0; locality < LOCALITIES; locality += 1) {
      this.#requestUse[locality] = requestUse[locality]!;
      this.#beenSeized[locality] = beenSeized[locality]!;
    }
  }
}
