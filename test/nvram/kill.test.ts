/**
 * Goal: a process that is killed at any moment of a store has lost nothing that it had said was
 * stored. scripts/kill-store.ts does the same a thousand times.
 * @long
 */
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { killOften } from '../../lab/store/kills.js';

test('every store that was acknowledged before a SIGKILL is there', async t => {
  let seed = 1;
  const delays = (): number => {
    seed = (seed * 48_271) % 0x7fff_ffff;
    return seed % 15;
  };
  const tally = await killOften(scratch(t), 25, delays);
  t.deepEqual(tally.faults, []);
  t.true(tally.acknowledged > 25);
  t.log(tally);
});
