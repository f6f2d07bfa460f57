/**
 * What the TIS front end needs of the TPM behind it, and of the machine around it.
 * @module
 */

/** The TPM behind the registers. */
export interface TisBackend {
  /**
   * Runs a command and calls `done` with the response: at once (inline), or later (deferred). With
   * deferral the EXECUTION state, cancel and abort are real.
   */
  execute(command: Uint8Array, locality: number, done: (response: Uint8Array) => void): void;
  /** Asks the running command to stop. */
  cancel(): void;
  /** The TPM_ESTABLISHED flag. */
  established(): boolean;
  /** Clears that flag: STS.resetEstablishmentBit of a TPM 2.0, written in locality 3 or 4. */
  resetEstablished?(locality: number): void;
  /** TPM_HASH_START of locality 4: begins a measured launch. */
  hashStart(): void;
  /** TPM_HASH_DATA: bytes of the measured launch. */
  hashData(bytes: Uint8Array): void;
  /** TPM_HASH_END: the measurement is complete. */
  hashEnd(): void;
}

/** The interrupt line: called with the level whenever it changes. */
export type InterruptLine = (level: boolean) => void;
