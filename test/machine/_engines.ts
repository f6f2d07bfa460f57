/** Engines that are counted, and fail where a test says so. */

import {
  type Engine,
  type EngineInfo,
  type NvramPort,
  StateError,
  Tpm12,
} from '../../src/index.js';
import { systemClock as clock, systemEntropy as entropy } from '../../src/system.js';

/** The calls that may fail. */
export type EngineStep = 'make' | 'init' | 'initialised' | 'volatileState' | 'restore' | 'restored';

/** Makes engines, and knows which of them are open. */
export class Engines {
  open = 0;
  made = 0;
  /** Fails the next such call, once. */
  failing: EngineStep | undefined;

  readonly make = (): Engine => {
    this.step('make');
    this.made += 1;
    this.open += 1;
    return new CountedEngine(this);
  };

  step(step: EngineStep): void {
    if (this.failing !== step) return;
    this.failing = undefined;
    throw new StateError('MALFORMED', 'permall', `${step} fails on purpose`);
  }
}

class CountedEngine implements Engine {
  readonly #of: Engines;
  readonly #tpm = new Tpm12({ entropy, clock });
  readonly kind = this.#tpm.kind;
  readonly commandBytes = this.#tpm.commandBytes;
  readonly volatileVersion = this.#tpm.volatileVersion;
  #closed = false;

  constructor(of: Engines) {
    this.#of = of;
  }

  /** The engine; using it after it was closed is a bug. */
  get #live(): Tpm12 {
    if (this.#closed) throw new Error('the engine is used after it was closed');
    return this.#tpm;
  }

  init(nvram: NvramPort): void {
    this.#of.step('init');
    this.#live.init(nvram);
    this.#of.step('initialised');
  }

  restore(nvram: NvramPort, state: Uint8Array): void {
    this.#of.step('restore');
    this.#live.restore(nvram, state);
    this.#of.step('restored');
  }

  volatileState(): Uint8Array {
    this.#of.step('volatileState');
    return this.#live.volatileState();
  }

  process(command: Uint8Array, locality: number): Uint8Array {
    return this.#live.process(command, locality);
  }

  cancel(): boolean {
    return this.#live.cancel();
  }

  established(): boolean {
    return this.#live.established();
  }

  hashStart(): number {
    return this.#live.hashStart();
  }

  hashData(bytes: Uint8Array): number {
    return this.#live.hashData(bytes);
  }

  hashEnd(): number {
    return this.#live.hashEnd();
  }

  info(): EngineInfo {
    return this.#live.info();
  }

  close(): void {
    if (this.#closed) throw new Error('the engine is closed twice');
    this.#closed = true;
    this.#of.open -= 1;
    this.#tpm.close();
  }
}
