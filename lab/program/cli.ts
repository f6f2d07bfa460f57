/**
 * Runs the command as a user does, from another process. That process is shared by all commands of a
 * test file, because a start takes more time than most commands; `demo` gets one of its own, since
 * it starts others itself.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PROGRAM } from './program.js';

export { PROGRAM };

export interface Run {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
  /** Standard output as JSON. */
  readonly json: () => Record<string, never>;
}

/** What the shared process is to run. */
export interface Request {
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether a server gets SIGTERM as soon as it listens. */
  readonly endsServers: boolean;
}
export type Response = Pick<Run, 'exit' | 'out' | 'err'>;

const run = ({ exit, out, err }: Response): Run => ({
  ...{ exit, out, err },
  json: () => JSON.parse(out),
});

export function nvtpm(args: readonly string[], cwd = process.cwd(), env = process.env): Run {
  if (args[0] === 'demo') return freshly(args, cwd, env);
  return run(host().ask({ args, cwd, env, endsServers: false }));
}

/** The same, and a server that listens instead of being refused is ended in order. */
export const nvtpmEnded = (args: readonly string[]): Run =>
  run(host().ask({ args, cwd: process.cwd(), env: process.env, endsServers: true }));

/** Runs the command in a process of its own. */
export function freshly(args: readonly string[], cwd?: string, env = process.env): Run {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
    ...{ cwd, env },
    encoding: 'utf8',
  });
  return run({ exit: status, out: stdout, err: stderr });
}

let shared: Host | undefined;

function host(): Host {
  shared ??= new Host();
  return shared;
}

/** A process that runs one command after another. It ends with this one. */
class Host {
  readonly #process: ChildProcess;
  readonly #requests: number;
  readonly #responses: number;
  #rest = Buffer.alloc(0);

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'nvtpm-cli-'));
    const [requests, responses] = [join(folder, 'requests'), join(folder, 'responses')];
    execFileSync('mkfifo', [requests, responses]);
    // An open for both directions waits for no other side. The ends have one direction each, so that
    // either process sees when the other is gone.
    const both = [requests, responses].map(path => openSync(path, constants.O_RDWR));
    this.#requests = openSync(requests, 'w');
    this.#responses = openSync(responses, 'r');
    const ends = [openSync(requests, 'r'), openSync(responses, 'w')] as const;
    const script = fileURLToPath(new URL('./cli-host.js', import.meta.url));
    this.#process = spawn(process.execPath, [script], {
      stdio: [ends[0], 'inherit', 'inherit', ends[1]],
    });
    this.#process.unref();
    for (const end of [...both, ...ends]) closeSync(end);
    rmSync(folder, { recursive: true });
  }

  ask(request: Request): Response {
    writeSync(this.#requests, `${JSON.stringify(request)}\n`);
    const chunk = Buffer.alloc(2 ** 16);
    for (;;) {
      const end = this.#rest.indexOf('\n');
      if (end >= 0) {
        const line = this.#rest.toString('utf8', 0, end);
        this.#rest = this.#rest.subarray(end + 1);
        return JSON.parse(line);
      }
      const length = readSync(this.#responses, chunk);
      if (length === 0) throw new Error(`the process ended in nvtpm ${request.args.join(' ')}`);
      this.#rest = Buffer.concat([this.#rest, chunk.subarray(0, length)]);
    }
  }
}
