/** What each state of a store allows, what a refusal leaves behind, and how many locks each step takes. */
import test from 'ava';
import {
  activated,
  blob,
  contents,
  entropy,
  formatted,
  inspected,
  KEY,
  OTHER_KEY,
  opened,
  platter,
} from '../../lab/store/stores.js';
import { withLock } from '../../src/block/index.js';
import { IoError } from '../../src/errors.js';
import { BlobCipher } from '../../src/nvram/image/cipher.js';
import { type ActiveStore, type HandedOverStore, openStore } from '../../src/nvram/index.js';
import { SimulatedDisk } from '../../src/testing/index.js';

/** A disk that counts how often its outermost lock is acquired. */
class CountingDisk extends SimulatedDisk {
  cycles = 0;

  protected override acquire() {
    if (this.depth === 0) this.cycles += 1;
    return super.acquire();
  }
}

function keyed(): { disk: SimulatedDisk; store: ActiveStore } {
  const disk = formatted({ key: KEY });
  const store = activated(disk, { key: KEY });
  store.store('permall', blob(100, 1));
  return { disk, store };
}

/** The ciphers that are made while `act` runs. */
function ciphersOf(act: () => void): BlobCipher[] {
  const made: BlobCipher[] = [];
  const { of } = BlobCipher;
  BlobCipher.of = (key, encryption) => {
    const cipher = of.call(BlobCipher, key, encryption);
    if (cipher !== undefined) made.push(cipher);
    return cipher;
  };
  try {
    act();
  } finally {
    BlobCipher.of = of;
  }
  return made;
}

test.serial('a store that was handed over stores nothing, and its record stays handed-over', t => {
  const { disk, store } = keyed();
  const left = store.handOver();
  const before = platter(disk);
  t.throws(() => store.store('permall', blob(100, 2)), { message: /handed over/ });
  t.throws(() => store.load('permall'), { message: /handed over/ });
  t.throws(() => store.rekey(undefined), { message: /handed over/ });
  store.close();
  store.abandon();
  t.deepEqual(platter(disk), before);
  t.is(inspected(disk).state?.ackRecord?.state, 'handed-over');
  t.deepEqual(left.resume().load('permall'), blob(100, 1), 'the key was not wiped with it');
});

test.serial('a store that was finished can do nothing any more', t => {
  const { disk, store } = keyed();
  const left = store.handOver();
  const before = platter(disk);
  left.finish();
  left.finish();
  t.throws(() => left.resume(), { message: /taken back or dropped/ });
  t.deepEqual(platter(disk), before);
});

const ENDS: Readonly<Record<string, (store: ActiveStore) => void>> = {
  close: store => store.close(),
  abandon: store => store.abandon(),
  'hand over and finish': store => store.handOver().finish(),
  'hand over and abandon': store => store.handOver().abandon(),
  'hand over, resume and close': store => store.handOver().resume().close(),
  'change the key and close': store => {
    store.rekey(OTHER_KEY);
    store.close();
  },
};
for (const [name, end] of Object.entries(ENDS)) {
  test.serial(`every copy of the key is wiped: ${name}`, t => {
    const disk = formatted({ key: KEY });
    const directory = inspected(disk).state!.directory;
    const ciphers = ciphersOf(() => end(activated(disk, { key: KEY })));
    t.true(ciphers.length > 0);
    t.false(ciphers.some(cipher => cipher.fits(directory)));
    t.false(ciphers.some(cipher => cipher.fits(inspected(disk).state!.directory)));
  });
}

test.serial('every copy of the key is wiped where opening is refused, discarded or fails', t => {
  const { disk, store } = keyed();
  const { directory } = inspected(disk).state!;
  store.close();
  const failing = new SimulatedDisk(platter(disk));
  failing.failAfter(1, () => new IoError('write', 'disk', { code: 'EIO' }));
  const ciphers = ciphersOf(() => {
    inspected(disk, { key: KEY });
    withLock(disk, undefined, locked => openStore(locked, { key: KEY }).discard());
    t.throws(() => activated(failing, { key: KEY }), { code: 'IO' });
    disk.write(directory.entries[0]!.offset, Uint8Array.of(0xff));
    t.throws(() => activated(disk, { key: KEY }), { code: 'CORRUPT' });
  });
  t.is(ciphers.length, 4);
  t.false(ciphers.some(cipher => cipher.fits(directory)));
});

test.serial('a change of the key that fails keeps the old key in use, and wipes the new one', t => {
  const { disk, store } = keyed();
  disk.failAfter(0, () => new IoError('write', 'disk', { code: 'ENOSPC' }));
  const [cipher] = ciphersOf(() => t.throws(() => store.rekey(OTHER_KEY), { code: 'IO' }));
  t.deepEqual(store.load('permall'), blob(100, 1));
  t.true(store.failed);
  const after = formatted({ key: OTHER_KEY });
  t.false(cipher!.fits(inspected(after).state!.directory));
});

test('a resume that meets an error of the disk can be tried again', t => {
  const { disk, store } = keyed();
  const left: HandedOverStore<ActiveStore> = store.handOver();
  for (const step of [0, 1]) {
    disk.failAfter(step, () => new IoError('write', 'disk', { code: 'EIO' }));
    t.throws(() => left.resume(), { code: 'IO' });
  }
  const again = left.resume();
  again.store('permall', blob(100, 2));
  t.is(opened(disk, KEY), '100 × 2');
});

test('a hand-over that fails leaves an active store that says so', t => {
  const { disk, store } = keyed();
  disk.failAfter(0, () => new IoError('write', 'disk', { code: 'EIO' }));
  t.throws(() => store.handOver(), { code: 'IO' });
  t.true(store.failed);
  t.throws(() => store.store('permall', blob(100, 2)), { code: 'IO' });
  t.is(opened(disk, KEY), '100 × 1');
});

test('a restore of an instance that was replaced is FENCED, as a store is', t => {
  const disk = formatted({ historyLength: 2 });
  const first = activated(disk);
  for (const fill of [1, 2, 3]) first.store('permall', blob(2000, fill));
  const [kept] = first.kept;
  const second = activated(disk);
  // What the first instance would restore is overwritten.
  for (const fill of [4, 5, 6, 7]) second.store('permall', blob(2000, fill));
  t.throws(() => first.restore(kept!), { code: 'FENCED' });
  t.throws(() => first.restore(99), { code: 'FENCED' });
  t.throws(() => first.store('permall', blob(1, 1)), { code: 'FENCED' });
  t.is(contents(disk), 'OK: 2000 × 7');
});

test('a refusal before the first write leaves the store usable', t => {
  const disk = formatted({ blobLimit: 300_000, historyLength: 1 });
  const store = activated(disk);
  store.store('permall', blob(100, 1));
  const refusals: [string, () => void][] = [
    ['TOO_SMALL', () => store.store('permall', blob(300_001, 2))],
    ['TOO_SMALL', () => store.store('permall', blob(299_999, 2))],
    ['INVALID_NAME', () => store.store('PERMALL', blob(1, 2))],
    [
      'INVALID_NAME',
      () =>
        store.commit(
          new Map([
            ['permall', blob(1, 2)],
            ['', blob(1, 2)],
          ]),
        ),
    ],
    ['NOT_KEPT', () => store.restore(77)],
  ];
  for (const [code, act] of refusals) {
    const { steps } = disk;
    t.throws(act, { code });
    t.is(disk.steps, steps, 'nothing was written');
    t.false(store.failed);
  }
  store.store('permall', blob(100, 3));
  store.close();
  t.is(contents(disk), 'OK: 100 × 3');
});

test('a change of the key that has room for its first step only is refused before it', t => {
  const disk = formatted();
  const store = activated(disk);
  // Encrypted, each of these takes two pages instead of one: 32 of the 45 free ones, and then again 32
  // of 29.
  for (let i = 0; i < 16; i += 1) store.store(`b${i}`, blob(4096, i));
  const { steps } = disk;
  t.throws(() => store.rekey(KEY), { code: 'TOO_SMALL' });
  t.is(disk.steps, steps, 'nothing was written');
  store.store('b0', blob(10, 99));
  store.close();
  t.is(opened(disk, undefined, 'b0'), '10 × 99');
});

test('every step is one lock cycle, and opening one with all that it does', t => {
  const disk = new CountingDisk(platter(formatted({ historyLength: 1 })));
  const cyclesOf = <T>(act: () => T): T => {
    const { cycles } = disk;
    const result = act();
    t.is(disk.cycles, cycles + 1, String(act));
    return result;
  };
  const store = cyclesOf(() => activated(disk));
  cyclesOf(() => store.store('permall', blob(1, 1)));
  cyclesOf(() => store.store('permall', blob(1, 2)));
  cyclesOf(() => store.load('permall'));
  cyclesOf(() => store.restore(store.kept[0]!));
  cyclesOf(() => store.isOurs());
  const left = cyclesOf(() => store.handOver());
  cyclesOf(() => left.isOurs());
  const again = cyclesOf(() => left.resume());
  cyclesOf(() => again.rekey(KEY));
  cyclesOf(() => again.close());
});

test('a candidate is valid while its lock is held, and once', t => {
  const disk = formatted();
  const candidate = withLock(disk, undefined, locked => openStore(locked, { entropy }));
  t.throws(() => candidate.activate(), { code: 'NOT_LOCKED' });
  withLock(disk, undefined, locked => {
    const next = openStore(locked, { entropy });
    t.like(next, { generation: 1, epoch: 0, pristine: true, ackState: 'clean' });
    t.is(next.uuid?.length, 16);
    next.activate();
    t.throws(() => next.activate(), { message: /activated or discarded/ });
    next.discard();
  });
});
