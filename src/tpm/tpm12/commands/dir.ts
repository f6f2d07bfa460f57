/**
 * The data integrity register of TPM 1.1 (TPM Main Part 3, §27.3, §27.4). There is one.
 * @module
 */
import { u32 } from '../../../wire/codec.js';
import { command } from '../command.js';
import { demand } from '../results.js';
import { digest } from '../structures/basic.js';

/** Writes the register. */
export const dirWriteAuth = command({
  ordinal: 'DirWriteAuth',
  auth: 'one',
  when: 'operational',
  delegable: { owner: 29 },
  input: { dirIndex: u32, newContents: digest },
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
  ordinal: 'DirRead',
  auth: 'none',
  when: 'operational',
  input: { dirIndex: u32 },
  output: { dirContents: digest },
  run({ state }, { dirIndex }) {
    demand(dirIndex === 0, 'BADINDEX');
    return { dirContents: state.permanent.data.authDIR };
  },
});
