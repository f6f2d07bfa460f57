/**
 * How much of everything there is: the limits that libtpms is built with, and that its
 * TPM_GetCapability reports. The formats of `permall` and `savestate` depend on some of them.
 * @module
 */

// biome-ignore format: table
export const LIMITS = {
  pcrs:                 24,
  keyHandles:           20,
  ownerEvictKeys:       10,
  authSessions:         16,
  transportSessions:    16,
  daaSessions:           2,
  contexts:            128,
  counters:              8,
  familyRows:           16,
  delegateRows:          4,
  /** Bytes of a command, and of a response. */
  bufferBytes:        4096,
  /** The most bytes that TPM_GetRandom returns: a buffer less the header and the count. */
  randomBytes:        4082,
  /** Bytes of `permall`. */
  permanentBytes:    40960,
  /** Bytes of `savestate`. */
  savedBytes:        21088,
  /** Bytes of the NV area as it lies in `permall`, its head of 6 bytes included. */
  nvBytes:           28672,
  /** Bytes that one allocation may have: more in a TPM_NV_DefineSpace is TPM_SIZE. */
  allocationBytes:  0x20000,
  /** Writes of NV without owner authorisation (TPM_MAX_NV_WRITE_NOOWNER). */
  noOwnerNvWrites:      64,
  /** Failed authorisations in a row that are forgiven before the lockout begins. */
  authFailures:          5,
  ekBits:             2048,
  /** Bits of any other key that a guest may make or load. */
  keyBits:            2048,
  /** Bits of an SRK. libtpms has no limit here but time, of which a guest must not take more. */
  srkBits:            4096,
} as const;

/** Microseconds that a driver waits: TIMEOUT_A to TIMEOUT_D, and short, medium, long commands. */
export const TIMEOUTS_US = [1_000_000, 1_000_000, 1_000_000, 1_000_000] as const;
export const DURATIONS_US = [50_000_000, 100_000_000, 300_000_000] as const;
