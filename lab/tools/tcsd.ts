/**
 * trousers' tcsd before a TPM on a TCP port, and the tools that talk to it. tcsd wants its files to
 * belong to root and to a user of its own, and becomes that user: under fakeroot it believes so, and
 * runs as whoever tests.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const TRY_EVERY_MS = 20;

export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A port of the loopback that nobody has just now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits until `owner` listens at a port. @throws Error if it ends before */
export async function listening(port: number, owner: ChildProcess): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const there = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (there) return;
    if (owner.exitCode !== null) throw new Error(`${owner.spawnfile} ended: ${owner.exitCode}`);
    await sleep(TRY_EVERY_MS);
  }
}

export class Tcsd {
  /** fakeroot, which ends with tcsd, and then ends what it has started itself. */
  readonly #process: ChildProcess;
  readonly #pid: number;
  readonly #folder: string;
  readonly #port: number;

  private constructor(process: ChildProcess, pid: number, folder: string, port: number) {
    this.#process = process;
    this.#pid = pid;
    this.#folder = folder;
    this.#port = port;
  }

  /** Starts it with its files in `folder`, where they may be from an earlier run. */
  static async start(folder: string, tpmPort: number): Promise<Tcsd> {
    const port = await freePort();
    const data = join(folder, 'tcsd');
    const config = join(folder, 'tcsd.conf');
    mkdirSync(data, { recursive: true, mode: 0o700 });
    writeFileSync(config, `port = ${port}\nsystem_ps_file = ${join(data, 'system.data')}\n`, {
      mode: 0o640,
    });
    const script = 'chown tss:tss "$1"; chown root:tss "$2"; echo $$; exec tcsd -e -f -c "$2"';
    const child = spawn('fakeroot', ['sh', '-c', script, 'sh', data, config], {
      env: { ...process.env, TCSD_TCP_DEVICE_PORT: String(tpmPort) },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [line] = await once(child.stdout.setEncoding('latin1'), 'data');
    await listening(port, child);
    return new Tcsd(child, Number(line), folder, port);
  }

  /** Runs a tool to its end; `input` is what it reads where it asks for secrets. */
  async run(program: string, args: readonly string[], input = ''): Promise<Outcome> {
    const child = spawn(program, args, {
      cwd: this.#folder,
      env: {
        ...process.env,
        TSS_TCSD_HOSTNAME: '127.0.0.1',
        TSS_TCSD_PORT: String(this.#port),
        TSS_USER_PS_FILE: join(this.#folder, 'user.data'),
      },
      // Without a terminal of its own, it reads secrets from the standard input.
      detached: true,
    });
    const said = { out: '', err: '' };
    child.stdout.setEncoding('latin1').on('data', text => (said.out += text));
    child.stderr.setEncoding('latin1').on('data', text => (said.err += text));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, ...said };
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'close');
    process.kill(this.#pid, 'SIGTERM');
    await ended;
  }
}
