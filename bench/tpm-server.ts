/**
 * A TPM of ours as a process, as swtpm is one: run as a program with a folder, it listens on the two
 * kinds of socket in it, and beside each with a server that only sends back what comes. It tells where
 * with one line of JSON, and ends with its input.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type ListenOptions } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createQcow2, openFile, openQcow2 } from '../src/block/index.js';
import { machineOver } from '../src/cli/machines.js';
import type { Machine } from '../src/machine/index.js';
import type { TpmAddress } from '../src/server/tpm-address.js';
import { openTpmSocket } from '../src/server/tpm-socket.js';
import { FaultNode } from '../src/testing/index.js';
import { noTrace } from '../src/trace.js';

const IMAGE_BYTES = 64 * 1024 * 1024;

/** A machine with a TPM of its own in a new image, that is switched on; `flush`: as it should be. */
export function newMachine(path: string, flush: boolean): Machine {
  createQcow2(path, { size: IMAGE_BYTES });
  const dropped = { on: 'flush', nth: 1, times: Infinity, effect: { kind: 'drop' } } as const;
  const file = openFile(path, { readOnly: false });
  const image = openQcow2(flush ? file : new FaultNode(file, [dropped]), { readOnly: false });
  const options = {
    trace: noTrace,
    lockTimeout: 1000,
    imageLock: 'auto',
    allowBacking: false,
  } as const;
  const machine = machineOver(image, options);
  machine.powerOn();
  return machine;
}

/** Where a server listens: a path of a Unix socket, or a port of this host. */
export type Where = { readonly path: string } | { readonly port: number };

/** Where the program below listens. */
interface Addresses {
  readonly tpm: { readonly unix: Where; readonly tcp: Where };
  readonly echo: { readonly unix: Where; readonly tcp: Where };
}

async function echo(address: ListenOptions): Promise<Where> {
  const server = createServer({ noDelay: true }, socket => {
    socket.on('data', chunk => socket.write(chunk));
  });
  server.listen(address);
  await once(server, 'listening');
  return where(server.address() as AddressInfo | string);
}

const LOOPBACK = '127.0.0.1';
const where = (bound: AddressInfo | string): Where =>
  typeof bound === 'string' ? { path: bound } : { port: bound.port };

async function main(folder: string): Promise<void> {
  const machine = newMachine(join(folder, 'served.qcow2'), false);
  const fail = (error: unknown): never => {
    throw error;
  };
  const serve = (address: TpmAddress) =>
    openTpmSocket({
      process: request => machine.process(request),
      commandBytes: () => machine.commandBytes,
      address,
      fail,
    });
  const path = join(folder, 'served');
  await serve({ type: 'unixio', path });
  const { port } = await serve({ type: 'tcp', port: 0 });
  const addresses: Addresses = {
    tpm: { unix: { path }, tcp: { port: port! } },
    echo: {
      unix: await echo({ path: join(folder, 'echo') }),
      tcp: await echo({ port: 0, host: LOOPBACK }),
    },
  };
  console.log(JSON.stringify(addresses));
  process.stdin.resume().on('end', () => process.exit());
}

/** The program above, running. */
export class OurServer implements Addresses {
  readonly tpm: Addresses['tpm'];
  readonly echo: Addresses['echo'];
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, { tpm, echo }: Addresses) {
    this.#process = process;
    this.tpm = tpm;
    this.echo = echo;
  }

  static async start(folder: string): Promise<OurServer> {
    const script = fileURLToPath(import.meta.url);
    const child = spawn(process.execPath, [script, folder], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    return new OurServer(child, JSON.parse(line.toString()) as Addresses);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.stdin!.end();
    await ended;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2]!);
