/**
 * The data integrity register of TPM 1.1 (TPM Main Part 3, §27.3, §27.4). There is one.
 * @module
 */
import { struct, u32 } from '../../../wire/codec.js';
import { command } from '../command.js';
import { demand } from '../results.js';
import { digest } from '../structures/basic.js';
import { nothing } from '../structures/codecs.js';

/** Writes the register. */
export const dirWriteAuth = command({
  ordinal: 0x19,
  name: 'TPM_DirWriteAuth',
  auth: 'one',
  when: 'operational',
  input: struct({ dirIndex: u32, newContents: digest }),
  output: nothing,
  run(call, { dirIndex, newContents }) {
    call.authoriseOwner();
    demand(dirIndex === 0, 'BADINDEX');
    call.state.permanent.data.authDIR = newContents;
    call.altered = true;
    return {};
  },
});

/** Reads the register. */
export const dirRead = command({
  ordinal: 0x1a,
  name: 'TPM_DirRead',
  auth: 'none',
  when: 'operational',
  input: struct({ dirIndex: u32 }),
  output: struct({ dirContents: digest }),
  run({ state }, { dirIndex }) {
    demand(dirIndex === 0, 'BADINDEX');
    return { dirContents: state.permanent.data.authDIR };
  },
});
