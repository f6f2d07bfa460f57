/** Waiting without an event loop. @module */

const PAUSE_MS = 5;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Waits for a moment: for an output that takes nothing now. */
export const pause = (): unknown => Atomics.wait(sleeper, 0, 0, PAUSE_MS);
