/**
 * Two machines over one image file, joined by a socket, with an open image each, as two hosts have.
 */
import { copyFileSync, mkdtempSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { scratch, toHex } from '../../lab/files.js';
import { type BlockNode, type GuardMode, openImage, withLock } from '../../src/block/index.js';
import { commands, STARTUP, secretOf } from '../../src/guest/index.js';
import type { Machine } from '../../src/index.js';
import { Channel } from '../../src/migration/index.js';
import { openStore } from '../../src/nvram/index.js';
import { guestOf, type More, machineOn, newImage } from '../machine/_machines.js';

const EK_IMAGE = (() => {
  const path = join(mkdtempSync(join(tmpdir(), 'nvtpm-test-')), 'ek.qcow2');
  newImage(path, 16 * 1024 * 1024);
  using image = openImage(path, { readOnly: false });
  const machine = machineOn(image);
  machine.powerOn();
  const guest = guestOf(machine);
  guest.run(commands.startup(STARTUP.CLEAR));
  guest.createEndorsementKeyPair();
  machine.powerOff();
  return path;
})();

export interface Hosts {
  readonly path: string;
  readonly images: readonly [BlockNode, BlockNode];
  readonly source: Machine;
  readonly target: Machine;
  /** The ends of the connection: the source's and the target's. */
  readonly sockets: readonly [Socket, Socket];
  readonly channels: readonly [Channel, Channel];
  /** What the source's PCR 10 holds. */
  readonly pcr: string;
}

export interface HostsOptions {
  readonly imageLock?: GuardMode;
  /** What differs on the target. */
  readonly target?: More;
  /** Opens the target's image. */
  readonly openTarget?: (path: string) => BlockNode;
}

export const open = (path: string): BlockNode => openImage(path, { readOnly: false });

/** A source that runs, a target that waits, and an image that both have open. */
export async function hosts(t: ExecutionContext, options: HostsOptions = {}): Promise<Hosts> {
  const { imageLock = 'auto', target = {}, openTarget = open } = options;
  const path = join(scratch(t), 'tpm.qcow2');
  copyFileSync(EK_IMAGE, path);
  const images = [open(path), openTarget(path)] as const;
  t.teardown(() => {
    for (const image of images) image.close();
  });
  const source = machineOn(images[0], { imageLock });
  source.powerOn();
  const guest = guestOf(source);
  guest.run(commands.startup(STARTUP.CLEAR));
  const pcr = toHex(guest.run(commands.extend(10, secretOf('measured'))));
  const sockets = await connection(t);
  return {
    path,
    images,
    source,
    target: machineOn(images[1], { expectExisting: true, imageLock, ...target }),
    sockets,
    channels: [new Channel(sockets[0]), new Channel(sockets[1])],
    pcr,
  };
}

/** Both ends of a connection; only TCP can be reset. */
export function connection(
  t: ExecutionContext,
  kind: 'unix' | 'tcp' = 'unix',
): Promise<[Socket, Socket]> {
  const server = createServer();
  const address =
    kind === 'unix' ? { path: join(scratch(t), 's') } : { port: 0, host: '127.0.0.1' };
  return new Promise(resolve => {
    server.listen(address, () => {
      const bound = server.address() as AddressInfo | string;
      const near = typeof bound === 'string' ? connect(bound) : connect(bound.port, '127.0.0.1');
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

/** A channel to a peer that sends just this. */
export async function peerThatSends(t: ExecutionContext, text: string): Promise<Channel> {
  const [near, far] = await connection(t);
  near.write(text);
  return new Channel(far);
}

export const pcrOf = (machine: Machine): string =>
  toHex(guestOf(machine).run(commands.pcrRead(10)));

/** The source is alive, and can store. */
export function runsOn(t: ExecutionContext, { source, images, pcr }: Hosts): void {
  t.is(source.power, 'on');
  t.is(pcrOf(source), pcr);
  const { generation } = source.storeInfo;
  guestOf(source).run(commands.physicalPresence(0x20));
  source.powerOff();
  const found = stored(images[1]);
  t.is(found.ackState, 'clean');
  t.true(found.generation >= generation);
}

/** What the image says, by a fresh look at it. */
export function stored(image: BlockNode) {
  return withLock(image, undefined, disk => {
    const candidate = openStore(disk, { whenEmpty: 'refuse' });
    const { generation, epoch, ackState } = candidate;
    candidate.discard();
    return { generation, epoch, ackState };
  });
}
