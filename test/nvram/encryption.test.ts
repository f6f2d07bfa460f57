/**
 * Encrypted stores: what is on the disk, which key opens them, and what a change of the key leaves.
 * @long
 */
import { hash } from 'node:crypto';
import test from 'ava';
import {
  activated,
  blob,
  formatted,
  inspected,
  KEY,
  OTHER_KEY,
  opened,
  platter,
  repaired,
} from '../../lab/store/stores.js';
import { BlobCipher } from '../../src/nvram/image/cipher.js';
import {
  ACK_RECORD_OFFSET,
  type Directory,
  NO_ENCRYPTION,
  PAGE_BYTES,
  SLOT_OFFSETS,
  type SlotIndex,
} from '../../src/nvram/image/layout.js';
import {
  encodeAckRecord,
  encodeDirectory,
  readDirectory,
  sha256,
} from '../../src/nvram/image/pages.js';
import type { Key } from '../../src/nvram/index.js';
import { everyFlip, everyPowerCut, SimulatedDisk } from '../../src/testing/index.js';

const PASSWORD: Key = { kind: 'password', bytes: new TextEncoder().encode('correct horse') };
const SECRET = new TextEncoder().encode('the private part of the endorsement key');

/** Whether the bytes of the secret are anywhere on the platter. */
const exposed = (disk: SimulatedDisk): boolean =>
  Buffer.from(platter(disk)).includes(Buffer.from(SECRET));

function encrypted(key: Key = KEY, keep = 0): SimulatedDisk {
  const disk = formatted({ key, historyLength: keep });
  const store = activated(disk, { key });
  store.store('permall', SECRET);
  store.close();
  return disk;
}
const found = `${SECRET.length} × ${SECRET[0]}`;

test('nothing secret is in the clear, and only the right key opens it', t => {
  const disk = encrypted();
  t.false(exposed(disk));
  t.is(inspected(disk).verdict, 'OK', 'it can be checked without the key');
  t.is(opened(disk), 'KEY_REQUIRED');
  t.is(opened(disk, OTHER_KEY), 'WRONG_KEY');
  t.is(opened(disk, PASSWORD), 'WRONG_KEY', 'a password is no key');
  t.is(opened(disk, { kind: 'key', bytes: new Uint8Array(16) }), 'WRONG_KEY', 'nor is half of one');
  t.is(opened(disk, KEY), found);
});

test('a password opens what it encrypted, and no other does', t => {
  const disk = encrypted(PASSWORD);
  t.is(
    opened(disk, { kind: 'password', bytes: new TextEncoder().encode('wrong horse') }),
    'WRONG_KEY',
  );
  t.is(opened(disk, PASSWORD), found);
});

test('a key for a store that is not encrypted is refused, and the store is not touched', t => {
  const disk = formatted();
  const before = platter(disk);
  t.is(opened(disk, KEY), 'WRONG_KEY');
  t.deepEqual(platter(disk), before);
});

test('a wrong key, or none, touches nothing', t => {
  const disk = encrypted();
  const before = platter(disk);
  opened(disk, OTHER_KEY);
  opened(disk);
  t.deepEqual(platter(disk), before);
});

test('a box from another store, another name or another time does not pass', t => {
  // The same key, the same length: only the binding tells them apart.
  const disk = formatted({ key: KEY });
  const store = activated(disk, { key: KEY });
  store.store('permall', blob(100, 1));
  const old = boxOf(disk, 'permall');
  store.store('savestate', blob(100, 2));
  const other = boxOf(disk, 'savestate');
  store.store('permall', blob(100, 3));
  store.close();

  const foreign = formatted({ key: KEY, entropy: length => new Uint8Array(length).fill(7) });
  const theirs = activated(foreign, { key: KEY });
  theirs.store('permall', blob(100, 4));

  const { encryption } = inspected(disk).state!.directory;
  for (const box of [old, other, boxOf(foreign, 'permall')]) {
    const copy = new SimulatedDisk(platter(disk));
    transplant(copy, 'permall', box, BlobCipher.of(KEY, encryption));
    t.is(inspected(copy, { key: KEY }).verdict, 'OK', 'every digest and the MAC fit');
    t.is(opened(copy, KEY), 'CORRUPT');
  }
});

/** The stored bytes of a blob. */
function boxOf(disk: SimulatedDisk, name: string): Uint8Array {
  const entry = inspected(disk).state!.directory.entries.find(each => each.name === name)!;
  return disk.read(entry.offset, entry.length);
}

/** Puts a box where a blob lies, and makes all digests fit, and the MAC. */
function transplant(
  disk: SimulatedDisk,
  name: string,
  box: Uint8Array,
  key: BlobCipher | undefined,
): void {
  const { slot, directory } = inspected(disk).state!;
  const entries = directory.entries.map(entry =>
    entry.name === name ? { ...entry, digest: sha256(box) } : entry,
  );
  disk.write(directory.entries.find(entry => entry.name === name)!.offset, box);
  disk.write(SLOT_OFFSETS[slot], encodeDirectory({ ...directory, entries }, key));
}

type Forgery = (newest: Directory, older: Directory) => Directory;

/** What can be made of two directories without the key, all digests right. */
const FORGERIES: Readonly<Record<string, Forgery>> = {
  'an older blob': (newest, older) => ({ ...newest, entries: older.entries }),
  'an older epoch': newest => ({ ...newest, epoch: newest.epoch - 1 }),
  'a higher epoch': newest => ({ ...newest, epoch: newest.epoch + 1 }),
  'no blob, as if there had never been one': newest => ({
    ...newest,
    firstBlobGeneration: 0,
    entries: [],
  }),
  'a blob less': newest => ({ ...newest, entries: newest.entries.slice(1) }),
  'a history': newest => ({ ...newest, historyLength: 3 }),
  'a smaller limit': newest => ({ ...newest, blobLimit: newest.blobLimit - 1 }),
  'a change of the key to be completed': newest => ({ ...newest, unscrubbed: true }),
  nothing: newest => newest,
};

/** An encrypted store that was closed in order, and its two directories. */
function keyed(): { disk: SimulatedDisk; slot: SlotIndex; newest: Directory; older: Directory } {
  const disk = formatted({ key: KEY });
  const store = activated(disk, { key: KEY });
  store.store('savestate', blob(100, 1));
  store.store('permall', blob(100, 2));
  store.store('permall', blob(100, 3));
  store.close();
  const { slot, directory } = inspected(disk).state!;
  const parsed = readDirectory(disk.read(SLOT_OFFSETS[1 - slot]!, PAGE_BYTES));
  if (parsed.is !== 'sound') throw new Error('the older directory is sound');
  return { disk, slot, newest: directory, older: parsed.value };
}

for (const [what, forge] of Object.entries(FORGERIES)) {
  test(`a directory that was made without the key does not pass: ${what}`, t => {
    const { disk, slot, newest, older } = keyed();
    const forged = encodeDirectory(forge(newest, older), undefined);
    const before = encodeDirectory(
      { ...forge(newest, older), generation: older.generation },
      undefined,
    );
    const { uuid, epoch } = newest;
    const lagging = { state: 'open', uuid, generation: older.generation, epoch: 0 } as const;
    for (const inBoth of [false, true]) {
      for (const isLagging of [false, true]) {
        const copy = new SimulatedDisk(platter(disk));
        copy.write(SLOT_OFFSETS[slot], forged);
        if (inBoth) copy.write(SLOT_OFFSETS[1 - slot]!, before);
        // A record that covers the older generation only: the newest one could be torn, if it were broken.
        if (isLagging) copy.write(ACK_RECORD_OFFSET, encodeAckRecord(lagging));
        const image = platter(copy);
        t.is(opened(copy, KEY), 'CORRUPT', `both ${inBoth}, lagging ${isLagging}, epoch ${epoch}`);
        t.deepEqual(platter(copy), image, 'nothing was written');
      }
    }
  });
}

test('a directory under no key, or another one, does not pass for a change of the key', t => {
  const { disk, slot, newest, older } = keyed();
  const plain = { ...older, encryption: NO_ENCRYPTION, entries: [] };
  const asOlder = new SimulatedDisk(platter(disk));
  asOlder.write(SLOT_OFFSETS[1 - slot]!, encodeDirectory(plain, undefined));
  t.is(opened(asOlder, KEY), 'CORRUPT');
  const asNewest = new SimulatedDisk(platter(disk));
  asNewest.write(
    SLOT_OFFSETS[slot],
    encodeDirectory({ ...newest, encryption: NO_ENCRYPTION, entries: [] }, undefined),
  );
  t.not(opened(asNewest, KEY), 'none');
});

test('without the key an inspection says that it has not verified who wrote the store', t => {
  const { disk } = keyed();
  const unverified = /its authenticity was not verified/;
  t.regex(inspected(disk).notes.join(), unverified);
  t.notRegex(inspected(disk, { key: KEY }).notes.join(), unverified);
  t.is(inspected(disk, { key: OTHER_KEY }).verdict, 'WRONG_KEY');
  t.is(inspected(formatted(), { key: KEY }).verdict, 'WRONG_KEY');
});

test('a repair of an encrypted store takes its key', t => {
  const disk = formatted({ key: KEY });
  const store = activated(disk, { key: KEY });
  store.store('permall', blob(100, 1));
  const before = platter(disk);
  t.throws(() => repaired(disk), { code: 'KEY_REQUIRED' });
  t.throws(() => repaired(disk, { key: OTHER_KEY }), { code: 'WRONG_KEY' });
  t.deepEqual(platter(disk), before);
  t.true(repaired(disk, { key: KEY }));
  t.false(repaired(disk, { key: KEY }));
  t.is(opened(disk, KEY), '100 × 1');
});

test('adding, changing and removing the key keep the state, and leave nothing of before behind', t => {
  const disk = formatted({ historyLength: 2 });
  const plain = activated(disk);
  plain.store('permall', blob(100, 1));
  plain.store('permall', SECRET);
  plain.store('savestate', blob(50, 2));
  t.true(exposed(disk));
  plain.rekey(KEY);
  t.false(exposed(disk), 'neither in the older generation nor in free space');
  t.deepEqual(plain.load('permall'), SECRET);
  plain.close();

  const keyed = activated(disk, { key: KEY });
  t.is(keyed.kept.length, 1, 'the kept state is encrypted too');
  keyed.rekey(PASSWORD);
  keyed.close();
  t.is(opened(disk, KEY), 'WRONG_KEY');
  t.is(opened(disk, PASSWORD), found);

  const again = activated(disk, { key: PASSWORD });
  again.restore(again.kept[0]!);
  t.deepEqual(again.load('permall'), blob(100, 1));
  again.rekey(undefined);
  again.close();
  t.is(opened(disk), '100 × 1');
});

function openedByBoth(image: Uint8Array): string {
  const [old, now] = [KEY, OTHER_KEY].map(key => opened(new SimulatedDisk(image), key));
  return `old ${old}, new ${now}`;
}

test('a change of the key that is cut off leaves the state under the old key or under the new one', t => {
  const before = platter(encrypted());
  const counts: Record<string, number> = {};
  // Many landings leave the same disk: it is opened once.
  const known = new Map<string, string>();
  const foundIn = (image: Uint8Array): string => {
    const digest = hash('sha1', image, 'binary');
    const left = known.get(digest) ?? openedByBoth(image);
    known.set(digest, left);
    return left;
  };
  const act = (disk: SimulatedDisk): void => {
    activated(disk, { key: KEY }).rekey(OTHER_KEY);
  };
  for (const { finished, disk } of everyPowerCut(before, act, { limit: 300 })) {
    const image = platter(disk);
    const outcome = `${finished ? 'finished' : 'cut'}: ${foundIn(image)}`;
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
  const store = activated(disk);
  store.store('permall', SECRET);
  store.close();
  const act = (disk: SimulatedDisk): void => {
    activated(disk).rekey(KEY);
  };
  for (const { disk: cut } of everyPowerCut(platter(disk), act, { limit: 40 })) {
    if (opened(new SimulatedDisk(platter(cut))) === found) continue; // Not encrypted yet.
    const next = activated(cut, { key: KEY });
    t.deepEqual(next.load('permall'), SECRET);
    if (exposed(cut)) return t.fail('the secret is still there');
  }
});

test('a flipped bit anywhere in an encrypted store that was closed in order is CORRUPT', t => {
  const disk = encrypted();
  const image = platter(disk);
  let flips = 0;
  for (const { what, offset, length } of inspected(disk).regions) {
    for (const flip of everyFlip(image, { offset, length, stride: 11 })) {
      flips += 1;
      const outcome = opened(new SimulatedDisk(flip.bytes), KEY);
      if (outcome !== 'CORRUPT') return t.fail(`${what}, byte ${flip.offset}: ${outcome}`);
    }
  }
  t.true(flips > 1000);
  t.log(`${flips} flips, all refused`);
});
