/** One swtpm for all tests of a file: a start costs more than most of what is sent to it. */
import test from 'ava';
import { type Swtpm, swtpm } from '../lab/peers/swtpm.js';

/**
 * Gives the swtpm of this file, which the first call starts and the end of the file stops. Each
 * test powers it on with a state of its own (`adopt`).
 */
export function sharedSwtpm(): () => Swtpm {
  const endings: (() => void)[] = [];
  let started: Swtpm | undefined;
  test.after.always(() => {
    for (const end of endings.reverse()) end();
  });
  return () => {
    started ??= swtpm({ teardown: end => endings.push(end) });
    return started;
  };
}
