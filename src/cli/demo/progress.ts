/**
 * A spinner while a step runs; nothing where standard error is not a terminal.
 * @module
 */
import yoctoSpinner, { type Spinner } from 'yocto-spinner';

let spinner: Spinner | undefined;

export const progress = {
  start(what: string): void {
    if (!process.stderr.isTTY) return;
    spinner ??= yoctoSpinner({ stream: process.stderr });
    spinner.start(what);
  },
  stop(): void {
    if (spinner?.isSpinning) spinner.stop();
  },
};
