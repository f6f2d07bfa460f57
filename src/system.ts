/**
 * The surroundings of a running process, as arguments for an engine and a store: randomness and time.
 * @module
 */
import { randomBytes } from 'node:crypto';

const POOL_BYTES = 4096;
let pool = new Uint8Array();

/**
 * Random bytes of the system. Nonces are short and many, so they are drawn from a pool; what was
 * handed out is wiped there.
 */
export function systemEntropy(length: number): Uint8Array {
  if (length > pool.length) {
    if (length > POOL_BYTES) return new Uint8Array(randomBytes(length));
    pool = new Uint8Array(randomBytes(POOL_BYTES));
  }
  const drawn = pool.slice(0, length);
  pool.fill(0, 0, length);
  pool = pool.subarray(length);
  return drawn;
}

/**
 * A clock in microseconds since 1970 that never goes back as long as the process runs. A saved state
 * holds the second in which a lockout began, and goes on to other processes, and to swtpm.
 */
export const systemClock = (): number =>
  Math.floor((performance.timeOrigin + performance.now()) * 1000);
