/**
 * TPM_NV_WriteValueAuth a second: ours, durable, beside swtpm with its two back ends, which flush
 * nothing. Each write goes under a session that lives on; the guest's HMACs are counted for all.
 * @module
 */
import { join } from 'node:path';
import { createQcow2, openImage } from '../src/block/index.js';
import { entropy, machineOver } from '../src/cli/images.js';
import {
  authorised,
  type Command,
  commands,
  ENTITY,
  type Exchange,
  encryptAuth,
  encryptTo,
  HANDLE,
  NV_PER,
  nvPublic,
  osapShared,
  plain,
  type Session,
  STARTUP,
  secretOf,
  WELL_KNOWN_SECRET,
} from '../src/testing/guest/index.js';
import { TisDriver } from '../src/tis/index.js';
import { noTrace } from '../src/trace.js';
import { SwtpmSocket } from './swtpm-socket.js';

const OWNER = secretOf('bench');
const SECRET = secretOf('index');
const INDEX = 0x0001_1101;
const NV_BYTES = 32;

type Transmit = (request: Uint8Array) => Uint8Array | Promise<Uint8Array>;

/** A guest over whatever carries its commands, be it at once or later. */
class Guest {
  readonly #transmit: Transmit;

  constructor(transmit: Transmit) {
    this.#transmit = transmit;
  }

  async send<T>(exchange: Exchange<T>): Promise<T> {
    return exchange.verify(await this.#transmit(exchange.request));
  }

  run<T>(command: Command<T>): Promise<T> {
    return this.send(plain(command));
  }

  async openOiap() {
    return { ...(await this.run(commands.oiap())), shared: undefined };
  }

  /** Makes the TPM somebody's, with an index that has a secret of its own. */
  async prepare(): Promise<void> {
    await this.run(commands.startup(STARTUP.CLEAR));
    const { publicKey } = await this.run(commands.createEndorsementKeyPair(entropy(20)));
    const own = commands.takeOwnership(
      encryptTo(publicKey, OWNER),
      encryptTo(publicKey, WELL_KNOWN_SECRET),
    );
    const session = await this.openOiap();
    await this.send(authorised(own, { session, secret: OWNER, nonceOdd: entropy(20) }));

    const odd = entropy(20);
    const opened = await this.run(commands.osap(ENTITY.OWNER, HANDLE.OWNER, odd));
    const osap = { ...opened, shared: osapShared(OWNER, opened.nonceEvenOsap, odd) };
    const pub = nvPublic(INDEX, NV_BYTES, NV_PER.AUTHREAD | NV_PER.AUTHWRITE);
    const define = commands.nvDefineSpace(pub, encryptAuth(osap, SECRET));
    await this.send(authorised(define, { session: osap, secret: OWNER, nonceOdd: entropy(20) }));
  }

  /** Writes so many times, and gives how many that was a second. */
  async writesPerSecond(count: number): Promise<number> {
    let session: Session = await this.openOiap();
    const data = new Uint8Array(NV_BYTES);
    const start = performance.now();
    for (let i = 1; i <= count; i += 1) {
      new DataView(data.buffer).setUint32(0, i);
      const command = commands.nvWriteValue(INDEX, 0, data, true);
      const nonceOdd = entropy(20);
      const sent = authorised(command, {
        session,
        secret: SECRET,
        nonceOdd,
        continueSession: true,
      });
      session = (await this.send(sent)).session!;
    }
    return count / ((performance.now() - start) / 1000);
  }
}

const ROUNDS = 3;

export async function benchNvSwtpm(folder: string, writes: number): Promise<string[]> {
  const path = join(folder, 'nv.qcow2');
  createQcow2(path, { size: 64 * 1024 * 1024 });
  using image = openImage(path, { readOnly: false });
  const common = {
    trace: noTrace,
    lockTimeout: 1000,
    imageLock: 'auto',
    allowBacking: false,
  } as const;
  const machine = machineOver(image, common);
  machine.powerOn();
  const driver = new TisDriver(machine.tis);
  const guests = new Map([
    ['nvtpm: qcow2, fdatasync before each response', new Guest(c => driver.transmit(c))],
  ]);

  const peers: SwtpmSocket[] = [];
  for (const backend of ['dir', 'file'] as const) {
    const peer = await SwtpmSocket.start(join(folder, `swtpm-${backend}`), backend);
    if (peer === undefined) continue;
    peers.push(peer);
    const what = backend === 'dir' ? 'a directory' : 'a linear file';
    guests.set(`${peer.version}: ${what}, no flush`, new Guest(c => peer.transmit(c)));
  }
  const rates = new Map<string, number[]>();
  for (const guest of guests.values()) await guest.prepare();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, guest] of guests) {
      rates.set(name, [...(rates.get(name) ?? []), await guest.writesPerSecond(writes)]);
    }
  }
  machine.powerOff();
  for (const peer of peers) await peer.stop();
  const rows = [...rates].map(([name, each]) => {
    const sorted = each.map(Math.round).sort((a, b) => a - b);
    return `| ${name} | ${sorted[Math.floor(sorted.length / 2)]} | ${sorted[0]} to ${sorted.at(-1)} |`;
  });
  const head = ['| what | a second | lowest to highest run |', '| --- | ---: | ---: |'];
  return [['### TPM_NV_WriteValueAuth of 32 bytes', '', ...head, ...rows, ''].join('\n')];
}
