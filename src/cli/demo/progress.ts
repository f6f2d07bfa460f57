/**
 * A spinner for what takes a moment; nothing where standard error is not a terminal.
 * @module
 */
import yoctoSpinner from 'yocto-spinner';

const spinner = yoctoSpinner({ stream: process.stderr });

export const progress = {
  start(what: string): void {
    if (process.stderr.isTTY) spinner.start(what);
  },
  stop(): void {
    if (spinner.isSpinning) spinner.stop();
  },
};
