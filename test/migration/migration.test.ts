/**
 * Two machines over one image file, joined by a socket: who ends up with the TPM, whatever is said
 * or not said. The machines have an open image each, as two hosts would.
 */
import { copyFileSync, mkdtempSync, readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  type BlockNode,
  bdrv_lock,
  bdrv_unlock,
  createQcow2,
  type GuardMode,
  openImage,
} from '../../src/block/index.js';
import {
  accept,
  type Machine,
  MigrationError,
  migrate,
  validateIncoming,
} from '../../src/index.js';
import { LockError } from '../../src/lock/index.js';
import { inspectStore, NvramError } from '../../src/nvram/index.js';
import { commands, STARTUP, secretOf } from '../../src/testing/guest/index.js';
import { scratch, toHex } from '../_files.js';
import { guestOf, machineOn } from '../machine/_machines.js';

const EK_IMAGE = (() => {
  const path = join(mkdtempSync(join(tmpdir(), 'nvtpm-test-')), 'ek.qcow2');
  createQcow2(path, { size: 16 * 1024 * 1024 });
  using image = openImage(path, { readOnly: false });
  const machine = machineOn(image);
  machine.powerOn();
  const guest = guestOf(machine);
  guest.run(commands.startup(STARTUP.CLEAR));
  guest.createEndorsementKeyPair();
  machine.powerOff();
  return path;
})();

interface Hosts {
  readonly images: readonly [BlockNode, BlockNode];
  readonly source: Machine;
  readonly target: Machine;
  /** The ends of the connection: the source's and the target's. */
  readonly wire: readonly [Socket, Socket];
  readonly pcr: string;
}

/** A source that runs, a target that waits, and an image that both have open. */
async function hosts(t: ExecutionContext, imageLock: GuardMode = 'auto'): Promise<Hosts> {
  const path = join(scratch(t), 'tpm.qcow2');
  copyFileSync(EK_IMAGE, path);
  const images = [
    openImage(path, { readOnly: false }),
    openImage(path, { readOnly: false }),
  ] as const;
  t.teardown(() => {
    for (const image of images) image.close();
  });
  const source = machineOn(images[0], { imageLock });
  source.powerOn();
  const guest = guestOf(source);
  guest.run(commands.startup(STARTUP.CLEAR));
  const pcr = toHex(guest.run(commands.extend(10, secretOf('measured'))));
  const wire = await connection(t);
  return {
    images,
    source,
    target: machineOn(images[1], { expectExisting: true, imageLock }),
    wire,
    pcr,
  };
}

function connection(t: ExecutionContext): Promise<[Socket, Socket]> {
  const server = createServer();
  const path = join(scratch(t), 's');
  return new Promise(resolve => {
    server.listen(path, () => {
      const near = connect(path);
      server.once('connection', far => {
        server.close();
        t.teardown(() => {
          near.destroy();
          far.destroy();
        });
        resolve([near, far]);
      });
    });
  });
}

const pcrOf = (machine: Machine): string => toHex(guestOf(machine).run(commands.pcrRead(10)));

/** The source still lives, and can store. */
function runsOn(t: ExecutionContext, { source, images, pcr }: Hosts): void {
  t.is(source.power, 'on');
  t.is(pcrOf(source), pcr);
  const { generation } = source.store;
  guestOf(source).run(commands.physicalPresence(0x20));
  source.powerOff();
  t.is(inspectStore(images[1]).verdict, 'OK');
  t.true(inspectStore(images[1]).state!.directory.generation >= generation);
}

test('a machine moves, with its PCRs and its EK; the source is gone', async t => {
  const all = await hosts(t);
  const ek = toHex(all.source.info.ek!);
  const { epoch } = all.source.store;
  validateIncoming(all.images[1]);
  const [, outcome] = await Promise.all([
    accept(all.target, all.wire[1]),
    migrate(all.source, all.wire[0]),
  ]);
  t.is(outcome, undefined);
  t.is(all.source.power, 'gone');
  t.throws(() => all.source.tis, { message: /off/ });
  t.is(pcrOf(all.target), all.pcr);
  t.is(toHex(all.target.info.ek!), ek);
  t.is(all.target.store.epoch, epoch + 1);
  all.target.powerOff();
});

test('a target that finds a corrupt blob at the end says no, and the source runs on', async t => {
  const all = await hosts(t);
  validateIncoming(all.images[1]);
  const offer = accept(all.target, all.wire[1]);
  const [entry] = inspectStore(all.images[0]).state!.directory.entries;
  const handOver = all.source.handOver.bind(all.source);
  all.source.handOver = () => {
    const state = handOver();
    flip(all.images[0], entry!.offset + 700);
    return state;
  };
  const [taken, left] = await Promise.allSettled([offer, migrate(all.source, all.wire[0])]);
  t.is(taken.status, 'rejected');
  t.true((taken as PromiseRejectedResult).reason instanceof NvramError);
  t.is((taken as PromiseRejectedResult).reason.code, 'CORRUPT');
  t.true((left as PromiseRejectedResult).reason instanceof MigrationError);
  t.regex(String((left as PromiseRejectedResult).reason), /digest is wrong/);
  t.is(all.source.power, 'on');
  t.is(pcrOf(all.source), all.pcr);
});

test('a target that says nothing, or goes away: the source runs on', async t => {
  for (const silence of ['says nothing', 'goes away', 'talks nonsense'] as const) {
    const all = await hosts(t);
    if (silence === 'goes away') all.wire[1].destroy();
    if (silence === 'talks nonsense') all.wire[1].write('{"taken": "perhaps"}\n');
    const error = await t.throwsAsync(migrate(all.source, all.wire[0], { timeoutMs: 50 }), {
      instanceOf: MigrationError,
    });
    t.is(error.code, 'FAILED');
    runsOn(t, all);
  }
});

test('a target that took over and whose yes is lost: the source stays down', async t => {
  const all = await hosts(t);
  // The answer of the target never arrives.
  const far = all.wire[1];
  far.write = (() => true) as typeof far.write;
  const [taken, left] = await Promise.allSettled([
    accept(all.target, far),
    migrate(all.source, all.wire[0], { timeoutMs: 500 }),
  ]);
  t.is(taken.status, 'fulfilled');
  t.is((left as PromiseRejectedResult).reason.code, 'FENCED');
  t.is(all.source.power, 'gone');
  t.is(pcrOf(all.target), all.pcr);
});

test('a late target finds the store taken back, and refuses', async t => {
  const all = await hosts(t);
  const offer = all.wire[1];
  // The manifest is delivered only after the source has given up waiting.
  const error = await t.throwsAsync(migrate(all.source, all.wire[0], { timeoutMs: 50 }));
  t.true(error instanceof MigrationError);
  await t.throwsAsync(accept(all.target, offer), { instanceOf: LockError, code: 'LOCKED' });
  runsOn(t, all);
});

test('where no guard is held, a late target is refused by the rules all the same', async t => {
  const all = await hosts(t, 'off');
  await t.throwsAsync(migrate(all.source, all.wire[0], { timeoutMs: 50 }));
  const late = await t.throwsAsync(accept(all.target, all.wire[1]), {
    instanceOf: MigrationError,
  });
  t.true(late.broken.some(rule => rule.includes('nobody has taken it back')));
  runsOn(t, all);
});

test('what is no manifest, of another version, or for another store is refused by name', async t => {
  const all = await hosts(t);
  const state = all.source.handOver();
  const sound = {
    kind: 'nvtpm-migration',
    version: 1,
    uuid: toHex(all.source.store.uuid),
    generation: all.source.store.generation,
    epoch: all.source.store.epoch,
    tis: state.tis,
    volatile: Buffer.from(state.volatile).toString('base64'),
  };
  const cases: [string, unknown][] = [
    ['kind', null],
    ['kind', { ...sound, kind: 'tpm-emulator' }],
    ['version', { ...sound, version: 2 }],
    ['uuid', { ...sound, uuid: 'x' }],
    ['for this store', { ...sound, uuid: '00'.repeat(16) }],
    ['generation', { ...sound, generation: sound.generation - 1 }],
    ['epoch', { ...sound, epoch: 9 }],
    ['volatile', { ...sound, volatile: '!' }],
  ];
  for (const [named, message] of cases) {
    const [near, far] = await connection(t);
    near.write(`${JSON.stringify(message)}\n`);
    const error = await t.throwsAsync(accept(all.target, far), { instanceOf: MigrationError });
    t.true(error.message.includes(named), `${named}: ${error.message}`);
  }
  const before = readFileSync(all.images[0].path);
  const [near, far] = await connection(t);
  near.write(`${JSON.stringify({ ...sound, volatile: sound.volatile.slice(0, 40) })}\n`);
  const torn = await t.throwsAsync(accept(all.target, far), { instanceOf: MigrationError });
  t.is(torn.code, 'MALFORMED');
  t.deepEqual(readFileSync(all.images[0].path), before, 'what is refused is not touched');
  all.source.takeBack();
  runsOn(t, all);
});

/** Flips a bit at an offset of the guest's disk, under the lock. */
function flip(image: BlockNode, offset: number): void {
  bdrv_lock(image);
  image.write(offset, Uint8Array.of(image.read(offset, 1)[0]! ^ 1));
  bdrv_unlock(image);
}
