/**
 * The exit code of each outcome of the command.
 * @module
 */
import type { Outcome } from '../errors.js';

// biome-ignore format: table
export const EXIT_CODES = {
  OK:            0,
  FAILED:        1,
  USAGE:         2,
  EMPTY:         3,
  CORRUPT:       4,
  KEY_REQUIRED:  5,
  WRONG_KEY:     6,
  REVISION:      7,
  TOO_SMALL:     8,
  LOCKED:        9,
  FENCED:       10,
  IMAGE:        11,
  IO:           12,
} as const satisfies Record<Outcome, number>;
