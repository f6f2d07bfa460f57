/**
 * Goal: two instances on one disk never lose an acknowledged store, and never two epochs can both
 * commit. Method: every interleaving of their lock, read, write, flush and unlock steps.
 * @long
 */
import test from 'ava';
import { activated, blob, contents, formatted, platter } from '../../lab/store/stores.js';
import { everyInterleaving, SimulatedDisk } from '../../src/testing/index.js';

const ACTORS = new URL('./_actors.js', import.meta.url).href;
const actor = (name: string, mortal = false) => ({ module: ACTORS, name, mortal });

function used(): Uint8Array {
  const disk = formatted();
  const store = activated(disk);
  store.store('permall', blob(600, 1));
  store.store('permall', blob(600, 2));
  return platter(disk);
}

/** How often each outcome came: what both said, and what is stored afterwards. */
function outcomes(
  names: readonly [string, string],
  locks: boolean,
  firstIsMortal = false,
): Map<string, number> {
  const counts = new Map<string, number>();
  const both = [actor(names[0], firstIsMortal), actor(names[1])] as const;
  for (const { results, disk } of everyInterleaving(used(), both, { locks })) {
    const outcome = `${results.join(' | ')} | ${contents(new SimulatedDisk(disk))}`;
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  return counts;
}

test('an active instance and a target that takes over: one of them stores last, none is lost', t => {
  const counts = outcomes(['active', 'incoming'], true);
  t.log(Object.fromEntries(counts));
  t.deepEqual([...counts.keys()].sort(), [
    // The store came first: the target has taken over what it stored.
    'stored 7 | took over from 7, stored 8 | OK: 600 × 8',
    // The target came first: the store was refused.
    'threw FENCED | took over from 2, stored 8 | OK: 600 × 8',
  ]);
});

test('a target that only looks never sees a store half done', t => {
  const counts = outcomes(['active', 'looking'], true);
  t.deepEqual([...counts.keys()], ['stored 7 | saw OK | OK: 600 × 7']);
});

test('two actives with the locks off: the later epoch stores, the earlier one is refused', t => {
  const counts = outcomes(['active', 'rival'], false);
  t.log(Object.fromEntries(counts));
  t.true([...counts.values()].reduce((sum, count) => sum + count, 0) >= 50);
  t.deepEqual([...counts.keys()], ['threw FENCED | stored 8 | OK: 600 × 8']);
});

test('a source that takes back and a destination: one of them has the TPM, in every order', t => {
  const counts = outcomes(['returning', 'arriving'], true);
  t.log(Object.fromEntries(counts));
  t.deepEqual([...counts.keys()].sort(), [
    'threw FENCED | took over from 2, stored 8 | OK: 600 × 8',
    'took back, stored 7 | was not handed over | OK: 600 × 7',
  ]);
});

test('a source that hands over while a destination looks: it is taken over once, or not at all', t => {
  const counts = outcomes(['hesitant', 'arriving'], true);
  t.log(Object.fromEntries(counts));
  t.deepEqual([...counts.keys()].sort(), [
    'threw FENCED | took over from 2, stored 8 | OK: 600 × 8',
    'took back, stored 7 | was not handed over | OK: 600 × 7',
  ]);
});

test('twin: a source that takes back without a look at the image is noticed', t => {
  const counts = outcomes(['rash', 'arriving'], true);
  t.true([...counts.keys()].some(outcome => /^took back.*took over/.test(outcome)));
});

test('an instance that dies between two steps: the next one finds the old state or the new one', t => {
  for (const name of ['active', 'returning', 'hesitant']) {
    const counts = outcomes([name, 'following'], true, true);
    t.log(name, Object.fromEntries(counts));
    t.true([...counts.keys()].some(outcome => outcome.startsWith('died | found 2')));
    const expected =
      /^(died|threw FENCED|stored 7|took back, stored 7|took back, then FENCED) \| found [27], stored 8 \| OK: 600 × 8$/;
    const allowed = [...counts.keys()].filter(outcome => expected.test(outcome));
    t.deepEqual([...counts.keys()], allowed);
    t.false([...counts.keys()].some(outcome => /^stored 7 .* found 2/.test(outcome)));
  }
});

test('a destination that dies between two steps: the source takes back, or is fenced', t => {
  const counts = outcomes(['arriving', 'returning'], true, true);
  t.log(Object.fromEntries(counts));
  t.true([...counts.keys()].some(outcome => outcome.startsWith('died | took back')));
});

test('twin: an instance without its fence is noticed', t => {
  const counts = outcomes(['reckless', 'rival'], false);
  t.true([...counts.keys()].some(outcome => outcome !== 'threw FENCED | stored 8 | OK: 600 × 8'));
});

test('twin: with the locks off, a target that looks does see a store half done', t => {
  const counts = outcomes(['active', 'looking'], false);
  t.true([...counts.keys()].some(outcome => outcome.includes('saw CORRUPT')));
});
