/**
 * The capability commands (TPM Main Part 3, §7): what this TPM is, and its state.
 * @module
 */
import { bytes, Reader, u32 } from '../../../wire/codec.js';
import { command } from '../command.js';
import { demand } from '../results.js';
import { permanentFlags } from '../state/permanent.js';
import { STCLEAR_FLAGS, TestState } from '../state/state.js';
import { Capability, Property } from '../structures/capability-info.js';
import { bitmap, sizedBuffer } from '../structures/codecs.js';
import { TPM_VERSION } from '../version.js';
import { capabilityOf } from './capability-areas.js';

/** What a TPM reports even before its self-test is complete, or after it failed. */
const ALWAYS_PROPERTIES: readonly number[] = [
  Property.MANUFACTURER,
  Property.TIS_TIMEOUT,
  Property.DURATION,
];

const ALWAYS_AREAS: readonly number[] = [
  Capability.VERSION,
  Capability.VERSION_VAL,
  Capability.MFR,
];

function tellsAlways(area: number, subCap: Uint8Array): boolean {
  if (area !== Capability.PROPERTY) return ALWAYS_AREAS.includes(area);
  return subCap.length === 4 && ALWAYS_PROPERTIES.includes(new Reader(subCap).uint(4));
}

/** Reports what this TPM can do, and its state. */
export const getCapability = command({
  ordinal: 'GetCapability',
  auth: 'none',
  when: 'started',
  selfTest: 'may be limited',
  input: { capArea: u32, subCap: sizedBuffer },
  output: { resp: sizedBuffer },
  run(call, { capArea, subCap }) {
    const { state } = call;
    if (!tellsAlways(capArea, subCap)) {
      demand(state.testState !== TestState.FAILURE, 'FAILEDSELFTEST');
      state.testState = TestState.FULL;
    }
    return { resp: capabilityOf(call, capArea, subCap) };
  },
});

const stclearFlagMap = bitmap(STCLEAR_FLAGS);

/** Reports the version and all flags, for the owner. */
export const getCapabilityOwner = command({
  ordinal: 'GetCapabilityOwner',
  auth: 'one',
  when: 'owned',
  output: {
    version: bytes(4),
    nonVolatileFlags: permanentFlags,
    volatileFlags: stclearFlagMap,
  },
  run(call) {
    call.authoriseOwner();
    const { permanent, stclearFlags: volatileFlags } = call.state;
    return { version: TPM_VERSION, nonVolatileFlags: permanent.flags, volatileFlags };
  },
});
