/** Sealed stores: what is on the disk, which key opens them, and what a change of the key leaves. */
import test from 'ava';
import { inspectStore, type Key, NvramStore } from '../../src/nvram/index.js';
import { encodeDirectory, SLOT_OFFSETS, sha256 } from '../../src/nvram/layout.js';
import { everyFlip, everyPowerCut, SimulatedDisk } from '../../src/testing/index.js';
import { blob, entropy, formatted, KEY, OTHER_KEY, opened, platter } from './_stores.js';

const PASSWORD: Key = { kind: 'password', bytes: new TextEncoder().encode('correct horse') };
const SECRET = new TextEncoder().encode('the private part of the endorsement key');

/** Whether the bytes of the secret are anywhere on the platter. */
const exposed = (disk: SimulatedDisk): boolean =>
  Buffer.from(platter(disk)).includes(Buffer.from(SECRET));

function sealed(key: Key = KEY, keep = 0): SimulatedDisk {
  const disk = formatted({ key, keep });
  const store = NvramStore.activate(disk, { entropy, key });
  store.store('permall', SECRET);
  store.close();
  return disk;
}
const found = `${SECRET.length} × ${SECRET[0]}`;

test('nothing secret is in the clear, and only the right key opens it', t => {
  const disk = sealed();
  t.false(exposed(disk));
  t.is(inspectStore(disk).verdict, 'OK', 'it can be checked without the key');
  t.is(opened(disk), 'KEY_REQUIRED');
  t.is(opened(disk, OTHER_KEY), 'WRONG_KEY');
  t.is(opened(disk, PASSWORD), 'WRONG_KEY', 'a password is no key');
  t.is(opened(disk, { kind: 'key', bytes: new Uint8Array(16) }), 'WRONG_KEY', 'nor is half of one');
  t.is(opened(disk, KEY), found);
});

test('a password opens what it sealed, and no other does', t => {
  const disk = sealed(PASSWORD);
  t.is(
    opened(disk, { kind: 'password', bytes: new TextEncoder().encode('wrong horse') }),
    'WRONG_KEY',
  );
  t.is(opened(disk, PASSWORD), found);
});

test('a key for a store that is not sealed is refused, and the store is not touched', t => {
  const disk = formatted();
  const before = platter(disk);
  t.is(opened(disk, KEY), 'WRONG_KEY');
  t.deepEqual(platter(disk), before);
});

test('a wrong key, or none, touches nothing', t => {
  const disk = sealed();
  const before = platter(disk);
  opened(disk, OTHER_KEY);
  opened(disk);
  t.deepEqual(platter(disk), before);
});

test('a box from another store, another name or another time does not pass', t => {
  // The same key, the same length: only the binding tells them apart.
  const disk = formatted({ key: KEY });
  const store = NvramStore.activate(disk, { entropy, key: KEY });
  store.store('permall', blob(100, 1));
  const old = boxOf(disk, 'permall');
  store.store('savestate', blob(100, 2));
  const other = boxOf(disk, 'savestate');
  store.store('permall', blob(100, 3));
  store.close();

  const foreign = formatted({ key: KEY, entropy: length => new Uint8Array(length).fill(7) });
  const theirs = NvramStore.activate(foreign, { entropy, key: KEY });
  theirs.store('permall', blob(100, 4));

  for (const box of [old, other, boxOf(foreign, 'permall')]) {
    const copy = new SimulatedDisk(platter(disk));
    transplant(copy, 'permall', box);
    t.is(inspectStore(copy).verdict, 'OK', 'every digest fits');
    t.is(opened(copy, KEY), 'CORRUPT');
  }
});

/** The stored bytes of a blob. */
function boxOf(disk: SimulatedDisk, name: string): Uint8Array {
  const entry = inspectStore(disk).state!.directory.entries.find(each => each.name === name)!;
  return disk.read(entry.offset, entry.length);
}

/** Puts a box where a blob lies, and makes all digests fit: what somebody without the key can do. */
function transplant(disk: SimulatedDisk, name: string, box: Uint8Array): void {
  const { state } = inspectStore(disk);
  const { slot, directory } = state!;
  const entries = directory.entries.map(entry =>
    entry.name === name ? { ...entry, digest: sha256(box) } : entry,
  );
  disk.write(directory.entries.find(entry => entry.name === name)!.offset, box);
  disk.write(SLOT_OFFSETS[slot], encodeDirectory({ ...directory, entries }));
}

test('adding, changing and removing the key keep the state, and leave nothing of before behind', t => {
  const disk = formatted({ keep: 2 });
  const plain = NvramStore.activate(disk, { entropy });
  plain.store('permall', blob(100, 1));
  plain.store('permall', SECRET);
  plain.store('savestate', blob(50, 2));
  t.true(exposed(disk));
  plain.rekey(KEY);
  t.false(exposed(disk), 'neither in the older generation nor in free space');
  t.deepEqual(plain.load('permall'), SECRET);
  plain.close();

  const keyed = NvramStore.activate(disk, { entropy, key: KEY });
  t.is(keyed.kept.length, 1, 'the kept state is sealed too');
  keyed.rekey(PASSWORD);
  keyed.close();
  t.is(opened(disk, KEY), 'WRONG_KEY');
  t.is(opened(disk, PASSWORD), found);

  const again = NvramStore.activate(disk, { entropy, key: PASSWORD });
  again.restore(again.kept[0]!);
  t.deepEqual(again.load('permall'), blob(100, 1));
  again.rekey(undefined);
  again.close();
  t.is(opened(disk), '100 × 1');
});

test('a change of the key that is cut off leaves the state under the old key or under the new one', t => {
  const before = platter(sealed());
  const counts: Record<string, number> = {};
  const act = (disk: SimulatedDisk): void =>
    NvramStore.activate(disk, { entropy, key: KEY }).rekey(OTHER_KEY);
  for (const { finished, disk } of everyPowerCut(before, act, { limit: 300 })) {
    const image = platter(disk);
    const [old, now] = [KEY, OTHER_KEY].map(key => opened(new SimulatedDisk(image), key));
    const outcome = `${finished ? 'finished' : 'cut'}: old ${old}, new ${now}`;
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  t.deepEqual(Object.keys(counts).sort(), [
    `cut: old ${found}, new WRONG_KEY`,
    `cut: old WRONG_KEY, new ${found}`,
    `finished: old WRONG_KEY, new ${found}`,
  ]);
});

test('once a key was added and the next power on is over, nothing is in the clear, however it was cut off', t => {
  const disk = formatted();
  const store = NvramStore.activate(disk, { entropy });
  store.store('permall', SECRET);
  store.close();
  const act = (disk: SimulatedDisk): void => NvramStore.activate(disk, { entropy }).rekey(KEY);
  for (const { disk: cut } of everyPowerCut(platter(disk), act, { limit: 40 })) {
    if (opened(new SimulatedDisk(platter(cut))) === found) continue; // Not sealed yet.
    const next = NvramStore.activate(cut, { entropy, key: KEY });
    t.deepEqual(next.load('permall'), SECRET);
    if (exposed(cut)) return t.fail('the secret is still there');
  }
});

test('a flipped bit anywhere in a sealed store that was closed in order is CORRUPT', t => {
  const disk = sealed();
  const image = platter(disk);
  let flips = 0;
  for (const { what, offset, length } of inspectStore(disk).regions) {
    for (const flip of everyFlip(image, { offset, length, stride: 11 })) {
      flips += 1;
      const outcome = opened(new SimulatedDisk(flip.bytes), KEY);
      if (outcome !== 'CORRUPT') return t.fail(`${what}, byte ${flip.offset}: ${outcome}`);
    }
  }
  t.true(flips > 1000);
  t.log(`${flips} flips, all refused`);
});
