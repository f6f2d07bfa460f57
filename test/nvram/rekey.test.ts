/**
 * Goal: once a key was added and the store is active again, no secret is in the clear anywhere on the
 * disk, whenever the change was cut off.
 * Method: five marked secrets that were stored in five ways, and every power cut of the change.
 */
import test from 'ava';
import { everyPowerCut, SimulatedDisk } from '../../src/testing/index.js';
import { activated, formatted, inspected, KEY, opened, platter } from './_stores.js';

const marked = (name: string, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => `[${name}!]`.charCodeAt(index % (name.length + 3)));

const SECRETS = ['stored', 'replaced', 'deleted', 'kept', 'slack'];

/** The secrets that are in the clear. */
const exposed = (disk: SimulatedDisk): string[] => {
  const bytes = Buffer.from(platter(disk));
  return SECRETS.filter(name => bytes.includes(`[${name}!]`));
};

/** A plain store that holds each secret in its own way. */
function plain(): SimulatedDisk {
  const disk = formatted({ historyLength: 1 });
  const store = activated(disk);
  store.store('deleted', marked('deleted', 800));
  store.delete('deleted');
  // A long blob, and short ones that reuse the beginning of its pages later.
  store.store('permall', marked('slack', 4000));
  for (let i = 0; i < 4; i += 1) store.store('permall', marked(`short${i}`, 60));
  store.store('permall', marked('replaced', 700));
  store.store('permall', marked('short', 50));
  store.store('permall', marked('kept', 300));
  store.store('permall', marked('stored', 500));
  store.close();
  return disk;
}

test('adding a key leaves no secret in the clear, in the unused ends of pages either', t => {
  const disk = plain();
  t.deepEqual(exposed(disk), SECRETS, 'all of them are there before');
  const store = activated(disk);
  t.deepEqual(store.rekey(KEY), { unreachable: [] });
  t.deepEqual(exposed(disk), []);
  t.deepEqual(store.load('permall'), marked('stored', 500));
  store.restore(store.kept[0]!);
  t.deepEqual(store.load('permall'), marked('kept', 300));
  store.close();
  t.false(inspected(disk).state!.directory.unscrubbed);
});

test('a key that was being added when the power went is completed by the next activation', t => {
  const counts = { plain: 0, completed: 0 };
  const act = (disk: SimulatedDisk): void => {
    activated(disk).rekey(KEY);
  };
  for (const { finished, disk } of everyPowerCut(platter(plain()), act, { limit: 8 })) {
    if (opened(new SimulatedDisk(platter(disk))) !== 'KEY_REQUIRED') {
      counts.plain += 1;
      if (finished) return t.fail('the key is gone');
      continue;
    }
    counts.completed += 1;
    const next = activated(disk, { key: KEY });
    t.deepEqual(next.load('permall'), marked('stored', 500));
    const left = exposed(disk);
    if (left.length > 0) return t.fail(`in the clear: ${left.join(', ')}`);
  }
  t.log(counts);
  t.true(counts.plain > 10 && counts.completed > 10);
});
