/**
 * Assertions without `node:assert`, for the layers that also run in a browser.
 * @module
 */

/**
 * Stops at a mistake in our own code.
 * @throws Error if `condition` does not hold
 */
export function assert(
  condition: boolean,
  message = 'an assertion does not hold',
): asserts condition {
  if (!condition) throw new Error(message);
}
