/**
 * The TPM of a machine as its registers see it, with the instance in a worker: every command runs later.
 * @module
 */
import type { TisBackend } from '../tis/index.js';
import type { Link } from './link.js';
import type { CallName, Calls } from './worker-messages.js';

/** @param isOn whether commands reach the instance: false once it is handed over, or the machine is off */
export function workerBackend(link: Link, isOn: () => boolean): TisBackend {
  // Not awaited: calls are handled in order, so the next command runs after these.
  const send = <N extends CallName>(name: N, ...args: Parameters<Calls[N]>): void => {
    if (isOn()) link.call(name, ...args).result.catch(() => {});
  };
  let cancel = (): void => {};
  return {
    execute: (command, locality, done) => {
      if (!isOn()) {
        done(new Uint8Array());
        return;
      }
      const call = link.call('execute', command, locality);
      cancel = call.cancel;
      call.result.then(done, () => done(new Uint8Array()));
    },
    cancel: () => cancel(),
    established: () => isOn() && link.established,
    hashStart: () => send('hashStart'),
    hashData: bytes => send('hashData', bytes),
    hashEnd: () => send('hashEnd'),
  };
}
