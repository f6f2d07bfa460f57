/**
 * The four ends of a migration: whatever is said or not said, at most one of two machines has the TPM,
 * and the image says which.
 */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { toHex } from '../../lab/files.js';
import {
  type BlockNode,
  openFile,
  openImage,
  openQcow2,
  takeGuard,
  withLock,
} from '../../src/block/index.js';
import { commands } from '../../src/guest/index.js';
import { IoError, Machine, MachineError, Tpm12 } from '../../src/index.js';
import { LockError } from '../../src/lock/index.js';
import {
  accept,
  Channel,
  MigrationError,
  migrate,
  takeBack,
  validateIncoming,
} from '../../src/migration/index.js';
import { inspectStore, MemoryStore, NvramError } from '../../src/nvram/index.js';
import { FaultNode } from '../../src/testing/index.js';
import { guestOf } from '../machine/_machines.js';
import { connection, type Hosts, hosts, pcrOf, peerThatSends, runsOn, stored } from './_hosts.js';

const manifestOf = ({ source }: Hosts) => {
  const state = source.handOver();
  return {
    kind: 'nvtpm-migration',
    version: 1,
    engine: { name: 'nvtpm', version: '1.2' },
    volatile: { version: 1, bytes: Buffer.from(state.volatile.bytes).toString('base64') },
    store: state.store,
    tis: state.tis,
  };
};

test('moved: the machine is on the target, with its PCRs and its EK; the source is gone', async t => {
  const all = await hosts(t);
  const ek = toHex(all.source.info.ek!);
  const { epoch } = all.source.storeInfo;
  validateIncoming(all.images[1]);
  const [, found] = await Promise.all([
    accept(all.target, all.channels[1]),
    migrate(all.source, all.channels[0]),
  ]);
  t.is(found.end, 'moved');
  t.is(all.source.power, 'gone');
  t.throws(() => all.source.tis, { instanceOf: MachineError, code: 'PHASE' });
  t.is(pcrOf(all.target), all.pcr);
  t.is(toHex(all.target.info.ek!), ek);
  t.is(all.target.storeInfo.epoch, epoch + 1);
  all.target.powerOff();
});

test('kept: a target that finds a corrupt blob at the end refuses, and the source runs on', async t => {
  const all = await hosts(t);
  validateIncoming(all.images[1]);
  const offer = accept(all.target, all.channels[1]);
  const { source } = all;
  const handOver = source.handOver.bind(source);
  source.handOver = () => {
    const state = handOver();
    damage(all.images[0], 'permall');
    return state;
  };
  const [taken, left] = await Promise.allSettled([offer, migrate(source, all.channels[0])]);
  const refusal = (taken as PromiseRejectedResult).reason;
  t.true(refusal instanceof NvramError);
  t.is(refusal.code, 'CORRUPT');
  t.like(left, { status: 'fulfilled', value: { end: 'kept' } });
  t.regex((left as PromiseFulfilledResult<{ why: string }>).value.why, /digest/);
  t.is(all.source.power, 'on');
  t.is(pcrOf(all.source), all.pcr);
});

test('moved: damage that a later store has healed is no hindrance', async t => {
  const all = await hosts(t);
  damage(all.images[0], 'permall');
  // The next store replaces it; handing over replaces the older generation too, which is one more.
  guestOf(all.source).run(commands.physicalPresence(0x20));
  const { generation } = all.source.storeInfo;
  const [, found] = await Promise.all([
    accept(all.target, all.channels[1]),
    migrate(all.source, all.channels[0]),
  ]);
  t.is(found.end, 'moved', found.why);
  t.true(all.target.storeInfo.generation > generation + 1, 'the hand-over committed one itself');
  all.target.powerOff();
});

for (const silence of ['says nothing', 'goes away', 'talks nonsense', 'floods'] as const) {
  test(`kept: a target that ${silence}: the source runs on`, async t => {
    const all = await hosts(t);
    const [, far] = all.sockets;
    if (silence === 'goes away') far.destroy();
    if (silence === 'talks nonsense') far.write('{"taken": "perhaps"}\n');
    if (silence === 'floods') far.write(Buffer.alloc(2 * 1024 * 1024, 0x20));
    const { end } = await migrate(all.source, all.channels[0], { timeoutMs: 50 });
    t.is(end, 'kept');
    runsOn(t, all);
  });
}

test('kept: a target that says yes and has taken nothing is not believed', async t => {
  const all = await hosts(t);
  all.sockets[1].write('{"taken":true}\n');
  const found = await migrate(all.source, all.channels[0]);
  t.is(found.end, 'kept');
  t.regex(found.why, /the image says otherwise/);
  runsOn(t, all);
});

test('fenced: the target took over and its yes is lost: the source stays down', async t => {
  const all = await hosts(t);
  const [, far] = all.sockets;
  // The answer never leaves, and the target does not notice.
  far.write = ((_: unknown, done: () => void) => {
    done();
    return true;
  }) as typeof far.write;
  const [taken, left] = await Promise.allSettled([
    accept(all.target, all.channels[1]),
    migrate(all.source, all.channels[0], { timeoutMs: 500 }),
  ]);
  t.is(taken.status, 'fulfilled');
  t.like(left, { status: 'fulfilled', value: { end: 'fenced' } });
  t.is(all.source.power, 'gone');
  t.is(pcrOf(all.target), all.pcr);
});

test('stuck: while a reader holds the guard nothing is known; once it is gone, the source runs on (B6)', async t => {
  const all = await hosts(t);
  const backup = openImage(all.path, { readOnly: true });
  t.teardown(() => backup.close());
  const moving = migrate(all.source, all.channels[0], { askMs: 100, timeoutMs: 5000 });
  // The reader comes once the guard is free, and the target goes.
  await all.channels[1].receive({ timeoutMs: 5000 });
  const guard = takeGuard(backup, 'reader');
  all.sockets[1].destroy();
  const found = await moving;
  t.is(found.end, 'stuck');
  t.regex(found.why, /in use/);
  t.is(all.source.power, 'handed over');

  const asking = takeBack(all.source);
  guard.release();
  t.deepEqual(await asking, { is: 'back' });
  runsOn(t, all);
});

test('stuck: the asking ends with its signal, and can be resumed', async t => {
  const all = await hosts(t);
  const backup = openImage(all.path, { readOnly: true });
  t.teardown(() => backup.close());
  all.source.handOver();
  using _guard = takeGuard(backup, 'reader');
  const stop = new AbortController();
  const asking = takeBack(all.source, { signal: stop.signal });
  stop.abort();
  t.like(await asking, { is: 'unknown' });
  t.is(all.source.power, 'handed over');
  t.throws(() => all.source.takeBack(), { instanceOf: LockError, code: 'LOCKED' });
  _guard.release();
  all.source.takeBack();
  runsOn(t, all);
});

test('a machine that is handed over is switched off without a word in the image, and starts anew', async t => {
  const all = await hosts(t);
  all.source.handOver();
  all.source.powerOff();
  t.is(all.source.power, 'off');
  t.is(stored(all.images[1]).ackState, 'handed-over');
  using _free = takeGuard(all.images[1], 'writer');
  _free.release();
  all.source.powerOn();
  all.source.powerOff();
});

test('a late target finds the store taken back, and refuses', async t => {
  const all = await hosts(t);
  // The manifest is delivered only after the source has given up waiting.
  t.like(await migrate(all.source, all.channels[0], { timeoutMs: 50 }), { end: 'kept' });
  await t.throwsAsync(accept(all.target, all.channels[1]), {
    instanceOf: LockError,
    code: 'LOCKED',
  });
  runsOn(t, all);
});

test('where no guard is held, a late target is refused by the rules all the same', async t => {
  const all = await hosts(t, { imageLock: 'off' });
  t.like(await migrate(all.source, all.channels[0], { timeoutMs: 50 }), { end: 'kept' });
  const late = await t.throwsAsync(accept(all.target, all.channels[1]), {
    instanceOf: MigrationError,
    code: 'REFUSED',
  });
  t.true(late.broken.some(rule => rule.includes('was not taken back')));
  runsOn(t, all);
});

test('what is not a manifest, of another version, engine or store is refused by name', async t => {
  const all = await hosts(t);
  const sound = manifestOf(all);
  const { store, engine, volatile } = sound;
  const cases: [string, unknown][] = [
    ['kind', null],
    ['kind', { ...sound, kind: 'tpm-emulator' }],
    ['version', { ...sound, version: 2 }],
    ['the engine has a name', { ...sound, engine: { ...engine, name: 'other' } }],
    ['engine of this name', { ...sound, engine: { ...engine, name: 'libtpms' } }],
    ['TPM of this version', { ...sound, engine: { ...engine, version: '2.0' }, tis: tis20 }],
    ['version that the engine knows', { ...sound, volatile: { ...volatile, version: 9 } }],
    ['uuid', { ...sound, store: { ...store, uuid: 'x' } }],
    ['of this store', { ...sound, store: { ...store, uuid: '00'.repeat(16) } }],
    ['generation', { ...sound, store: { ...store, generation: store.generation - 1 } }],
    ['epoch', { ...sound, store: { ...store, epoch: 9 } }],
    ['digests', { ...sound, store: { ...store, blobs: { permall: 'x' } } }],
    ['stored blobs', { ...sound, store: { ...store, blobs: { permall: 'ab'.repeat(32) } } }],
    ['base64', { ...sound, volatile: { ...volatile, bytes: '!' } }],
    ['TIS', { ...sound, tis: { ...sound.tis, version: 7 } }],
  ];
  const before = readFileSync(all.path);
  for (const [named, message] of cases) {
    const channel = await peerThatSends(t, `${JSON.stringify(message)}\n`);
    const error = await t.throwsAsync(accept(all.target, channel), { instanceOf: MigrationError });
    t.true(error.message.includes(named), `${named}: ${error.message}`);
    t.is(all.target.power, 'off');
  }
  const cut = { ...volatile, bytes: volatile.bytes.slice(0, 40) };
  const torn = await t.throwsAsync(
    accept(all.target, await peerThatSends(t, `${JSON.stringify({ ...sound, volatile: cut })}\n`)),
    { instanceOf: MigrationError },
  );
  t.is(torn.code, 'MALFORMED');
  t.deepEqual(readFileSync(all.path), before, 'what is refused is not touched');
  all.source.takeBack();
  runsOn(t, all);
});

/** The registers of a TPM 2.0 that was never used. */
const tis20 = {
  kind: 'nvtpm-tis',
  version: 1,
  personality: '2.0',
  bufferSize: 4096,
  localities: {
    active: null,
    requestUse: Array(5).fill(false),
    beenSeized: Array(5).fill(false),
  },
  command: { state: 'idle', fifo: '', at: 0, selfTestDone: false },
  interrupts: { enable: Array(5).fill(0), status: Array(5).fill(0) },
  interfaceLocked: false,
  hashing: false,
};

test('a source that resets the connection after its manifest does not end the target (B8)', async t => {
  const all = await hosts(t);
  const manifest = manifestOf(all);
  const [near, far] = await connection(t, 'tcp');
  const channel = new Channel(far);
  near.on('error', () => {});
  await new Promise<void>(resolve => {
    near.write(`${JSON.stringify(manifest)}\n`, () => {
      near.resetAndDestroy();
      resolve();
    });
  });
  await accept(all.target, channel);
  t.is(pcrOf(all.target), all.pcr);
  // The error of the socket arrives after accept() has returned.
  if (!far.closed) await new Promise(resolve => far.once('close', resolve));
  t.is(all.target.power, 'on');
});

test('a take-over that fails at its n-th flush says whether anything may be written (B9)', async t => {
  const ends: string[] = [];
  for (let nth = 1; nth <= 5; nth += 1) {
    const all = await hosts(t, {
      openTarget: path => {
        const fault = { on: 'flush', nth, effect: { kind: 'error', errno: 'EIO' } } as const;
        return openQcow2(new FaultNode(openFile(path, { readOnly: false }), [fault]));
      },
    });
    const [taken, left] = await Promise.allSettled([
      accept(all.target, all.channels[1]),
      migrate(all.source, all.channels[0]),
    ]);
    if (taken.status === 'fulfilled') {
      t.like(left, { status: 'fulfilled', value: { end: 'moved' } });
      ends.push('moved');
      break;
    }
    const { reason } = taken;
    t.true(reason instanceof MigrationError, String(reason));
    t.is(reason.code, 'UNCERTAIN');
    t.is(reason.outcome, 'IO');
    t.true(reason.cause instanceof IoError);
    t.is(all.target.power, 'off');
    const { end, why } = (left as PromiseFulfilledResult<{ end: string; why: string }>).value;
    t.regex(why, /does not know whether it took over/);
    ends.push(end);
    t.is(all.source.power, end === 'kept' ? 'on' : 'gone');
  }
  // Before the epoch is written the source runs on; from then on it is fenced, by what the image says.
  t.true(ends.includes('kept'));
  t.true(ends.includes('fenced'));
  t.is(ends.at(-1), 'moved');
});

test('the key of an encrypted store is demanded by the first look', async t => {
  const all = await hosts(t);
  t.throws(
    () => validateIncoming(all.images[1], { key: { kind: 'key', bytes: new Uint8Array(32) } }),
    {
      instanceOf: NvramError,
      code: 'WRONG_KEY',
    },
  );
});

test('a store that cannot be handed over refuses at once, and the machine runs on', async t => {
  const store = new MemoryStore();
  const entropy = (length: number) => new Uint8Array(length).fill(7);
  const engine = () => new Tpm12({ entropy, clock: () => 0 });
  const machine = new Machine({ store: () => store, entropy, engine });
  machine.powerOn();
  const [near] = await connection(t);
  await t.throwsAsync(migrate(machine, new Channel(near)), {
    instanceOf: MachineError,
    code: 'UNSUPPORTED',
  });
  t.is(machine.power, 'on');
  machine.powerOff();
});

/** Flips a bit of a stored blob, under the lock. */
function damage(image: BlockNode, name: string): void {
  const { state } = withLock(image, undefined, disk => inspectStore(disk));
  const { offset } = state!.directory.entries.find(entry => entry.name === name)!;
  withLock(image, undefined, disk => {
    disk.write(offset + 700, Uint8Array.of(disk.read(offset + 700, 1)[0]! ^ 1));
    disk.flush();
  });
}
