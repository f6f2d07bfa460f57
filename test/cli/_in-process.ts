/** The command in this process, with a terminal, a pipe or a disk of the test's own around it. */
import { Readable } from 'node:stream';
import type { Run } from '../../lab/program/cli.js';
import { main } from '../../src/cli/program.js';
import type { Output } from '../../src/cli/surroundings.js';

/** An output that keeps what is written to it. */
export class Sink implements Output {
  readonly isTerminal: boolean;
  readonly columns: number | undefined;
  readonly #parts: Buffer[] = [];

  /** @param columns of a terminal; none for a pipe */
  constructor(columns?: number) {
    this.columns = columns;
    this.isTerminal = columns !== undefined;
  }

  get text(): string {
    return Buffer.concat(this.#parts).toString();
  }

  write(bytes: Uint8Array): number {
    this.#parts.push(Buffer.from(bytes));
    return bytes.length;
  }
}

export const failing = (code: string): Error => Object.assign(new Error(code), { code });

export interface Around {
  readonly input?: string | Readable;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdout?: Sink;
  readonly stderr?: Sink;
}

/** Runs the command to its end. */
export async function cli(args: readonly string[], around: Around = {}): Promise<Run> {
  const { input = '', env = {}, stdout = new Sink(), stderr = new Sink() } = around;
  const stdin = typeof input === 'string' ? Readable.from([Buffer.from(input)]) : input;
  const exit = await main(args, { stdin, stdout, stderr, env });
  return { exit, out: stdout.text, err: stderr.text, json: () => JSON.parse(stdout.text) };
}
