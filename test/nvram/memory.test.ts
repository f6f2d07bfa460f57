/** The laws of a blob store, kept by the store in memory and the one in an image alike. */
import test from 'ava';
import fc from 'fast-check';
import { activated, blob, format, formatted } from '../../lab/store/stores.js';
import { type BlobStore, type Changes, MemoryStore } from '../../src/nvram/index.js';
import { SimulatedDisk } from '../../src/testing/index.js';

const BLOB_LIMIT = 9000;

const STORES: Readonly<Record<string, () => BlobStore>> = {
  memory: () => new MemoryStore({ blobLimit: BLOB_LIMIT }),
  image: () => {
    const disk = new SimulatedDisk(1024 * 1024);
    format(disk, { blobLimit: BLOB_LIMIT });
    return activated(disk);
  },
};

const names = fc.constantFrom('permall', 'savestate', 'a.b-c', '0', 'BAD', '', 'seventeen-letters');
const content = fc.option(
  fc.record({ length: fc.oneof(fc.nat(200), fc.constantFrom(9000, 9001)), fill: fc.nat(255) }),
);
const change = fc.array(fc.tuple(names, content), { maxLength: 3 });

/** What a store answers, in a form that can be compared. */
function answerTo(act: () => unknown): unknown {
  try {
    return act() ?? 'nothing';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

test('both stores answer alike, whatever is committed and loaded', t => {
  const alike = fc.property(fc.array(change, { maxLength: 12 }), commits => {
    const stores = Object.values(STORES).map(make => make());
    for (const commit of commits) {
      const changes: Changes = new Map(
        commit.map(([name, bytes]) => [name, bytes && blob(bytes.length, bytes.fill)]),
      );
      const answers = stores.map(store => [
        answerTo(() => store.commit(changes)),
        store.pristine,
        ...['permall', 'savestate', 'a.b-c', '0', 'BAD', ''].map(name =>
          answerTo(() => Buffer.from(store.load(name) ?? []).toString('hex')),
        ),
      ]);
      t.deepEqual(answers[0], answers[1]);
    }
    return true;
  });
  fc.assert(alike, { numRuns: 60 });
});

for (const [kind, make] of Object.entries(STORES)) {
  test(`${kind}: what is loaded and what was committed are the caller's to change`, t => {
    const store = make();
    const mine = blob(10, 1);
    store.commit(new Map([['permall', mine]]));
    mine.fill(2);
    store.load('permall')!.fill(3);
    t.deepEqual(store.load('permall'), blob(10, 1));
  });

  test(`${kind}: a commit that is refused changes nothing`, t => {
    const store = make();
    const changes = new Map([
      ['permall', blob(10, 1)],
      ['savestate', blob(9001, 1)],
    ]);
    t.throws(() => store.commit(changes), { code: 'TOO_SMALL' });
    t.is(store.load('permall'), undefined);
    t.true(store.pristine);
  });

  test(`${kind}: pristine ends with the first blob, and its deletion does not bring it back`, t => {
    const store = make();
    store.commit(new Map([['permall', null]]));
    t.true(store.pristine);
    store.commit(new Map([['permall', blob(1, 1)]]));
    store.commit(new Map([['permall', null]]));
    t.false(store.pristine);
    t.is(store.load('permall'), undefined);
  });

  test(`${kind}: closing is idempotent, and a closed store answers nothing`, t => {
    for (const end of ['close', 'abandon'] as const) {
      const store = make();
      store[end]();
      store.close();
      store.abandon();
      t.throws(() => store.load('permall'), { message: /closed/ });
      t.throws(() => store.commit(new Map()), { message: /closed/ });
    }
  });

  test(`${kind}: it has the method for each ability that it names`, t => {
    const store = make();
    t.is(store.handOver !== undefined, store.can.handOver);
  });
}

test('a snapshot of a memory store makes another one', t => {
  const store = new MemoryStore({ path: 'vm 1' });
  store.commit(new Map([['permall', blob(10, 1)]]));
  store.close();
  const copy = new MemoryStore({ blobs: store.snapshot() });
  t.deepEqual(copy.load('permall'), blob(10, 1));
  t.false(copy.pristine);
  t.throws(() => new MemoryStore({ blobs: new Map([['BAD', blob(1, 1)]]) }), {
    code: 'INVALID_NAME',
    message: /^memory: "BAD"/,
  });
});

test('blobs go from an image to memory and back', t => {
  const disk = formatted();
  const store = activated(disk);
  store.commit(
    new Map([
      ['permall', blob(500, 1)],
      ['savestate', blob(20, 2)],
    ]),
  );
  const copy = new MemoryStore({
    blobs: new Map(store.blobs.map(({ name }) => [name, store.load(name)!])),
  });
  const target = activated(formatted());
  target.commit(copy.snapshot());
  t.deepEqual(target.load('permall'), blob(500, 1));
  t.deepEqual(target.load('savestate'), blob(20, 2));
});
