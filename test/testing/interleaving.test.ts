/** The interleavings are all there, each once; a lock excludes; the dead release their lock and stop. */
import test from 'ava';
import { everyInterleaving } from '../../src/testing/index.js';

const ACTORS = new URL('./_mortals.js', import.meta.url).href;
const actor = (name: string, mortal = false) => ({ module: ACTORS, name, mortal });

const outcomes = (first: ReturnType<typeof actor>, locks = true): string[] => {
  const runs = [...everyInterleaving(new Uint8Array(2), [first, actor('reader')], { locks })];
  const steps = runs.map(run => run.steps.join());
  if (new Set(steps).size < steps.length) throw new Error('an order came twice');
  return [
    ...new Set(runs.map(({ results, disk }) => `${results.join(', ')}: ${disk.join('')}`)),
  ].sort();
};

test('under the lock, both bytes are read or neither', t => {
  t.deepEqual(outcomes(actor('twoBytes')), ['wrote, read 00: 11', 'wrote, read 11: 11']);
});

test('twin: with the locks off, one of them is', t => {
  t.true(outcomes(actor('twoBytes'), false).includes('wrote, read 10: 11'));
});

test('an actor that dies has written what it had written, and its lock is free', t => {
  t.deepEqual(outcomes(actor('twoBytes', true)), [
    'died, read 00: 00',
    'died, read 00: 10',
    'died, read 00: 11',
    'died, read 10: 10',
    'died, read 11: 11',
    'wrote, read 00: 11',
    'wrote, read 11: 11',
  ]);
});

test('the dead do nothing, whatever they catch', t => {
  for (const outcome of outcomes(actor('stubborn', true))) t.regex(outcome, /(00|10)$/);
});
