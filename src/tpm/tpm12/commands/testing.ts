/**
 * Admin testing (TPM Main Part 3, §4): TPM_SelfTestFull, TPM_ContinueSelfTest, TPM_GetTestResult.
 * @module
 */

import { command } from '../command.js';
import { selfTest } from '../self-test.js';
import { TestState } from '../state/state.js';
import { sizedBuffer } from '../structures/codecs.js';

/** Tests everything. */
export const selfTestFull = command({
  ordinal: 'SelfTestFull',
  auth: 'none',
  when: 'working',
  selfTest: 'may be limited',
  run({ state }) {
    selfTest(state);
    state.testState = TestState.FULL;
    return {};
  },
});

/** Tests what TPM_Init left out. */
export const continueSelfTest = command({
  ordinal: 'ContinueSelfTest',
  auth: 'none',
  when: 'working',
  selfTest: 'may be limited',
  run({ state }) {
    const { FIPS, TPMpost } = state.permanent.flags;
    if (FIPS || TPMpost) selfTest(state);
    state.testState = TestState.FULL;
    return {};
  },
});

/** Returns the result of the self-test, in libtpms's words. */
export const getTestResult = command({
  ordinal: 'GetTestResult',
  auth: 'none',
  when: 'started',
  selfTest: 'may be limited',
  output: { outData: sizedBuffer },
  run({ state }) {
    const number = state.testState.toString(16).padStart(8, '0');
    return { outData: new TextEncoder().encode(`Shutdown ${number}\n`) };
  },
});
