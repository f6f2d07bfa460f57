/** `nvtpm run` as a process of its own, with a client of its qtest interface and clients of its monitor. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { connected, Lines, WIDTH } from '../../lab/peers/qtest.js';
import { nvtpm, PROGRAM } from '../../lab/program/cli.js';

export type Message = Readonly<Record<string, unknown>>;

/** A client of a monitor that has read the greeting. */
export class Monitor {
  readonly #lines: Lines;
  readonly events: Message[] = [];
  greeting!: Message;

  private constructor(lines: Lines) {
    this.#lines = lines;
  }

  static async open(path: string, owner: ChildProcess, negotiate = true): Promise<Monitor> {
    const monitor = new Monitor(new Lines(await connected(path, owner)));
    monitor.greeting = await monitor.#next();
    if (negotiate) await monitor.ask('{"execute":"qmp_capabilities"}');
    return monitor;
  }

  /** Sends text and gives the next message that is no event. */
  async ask(text: string): Promise<Message> {
    this.#lines.send(text.endsWith('\n') ? text : `${text}\n`);
    return this.reply();
  }

  send(text: string): void {
    this.#lines.send(text);
  }

  /** The next message that is no event. */
  async reply(): Promise<Message> {
    for (;;) {
      const message = await this.#next();
      if (!('event' in message)) return message;
      this.events.push(message);
    }
  }

  /** What a command returns. */
  async run(execute: string, given?: Message): Promise<unknown> {
    const message = await this.ask(JSON.stringify({ execute, arguments: given }));
    if ('return' in message) return message['return'];
    throw new Error(`${execute}: ${JSON.stringify(message)}`);
  }

  /** Waits for an event, seen or to come. */
  async event(name: string): Promise<Message> {
    for (;;) {
      const seen = this.events.find(({ event }) => event === name);
      if (seen !== undefined) return seen;
      this.events.push(await this.#next());
    }
  }

  close(): void {
    this.#lines.close();
  }

  async #next(): Promise<Message> {
    return JSON.parse(await this.#lines.next()) as Message;
  }
}

export class Running {
  readonly process: ChildProcess;
  readonly folder: string;
  readonly image: string;
  /** Not its exit: what it has said may come after that. */
  readonly #closed: Promise<unknown>;
  #out = '';
  #err = '';

  private constructor(t: ExecutionContext, image: string, folder: string, more: readonly string[]) {
    this.folder = folder;
    this.image = image;
    // biome-ignore format: table
    this.process = spawn(process.execPath, [
      PROGRAM, 'run', image,
      '--qtest', `unix:${this.at('qtest')},server=on,wait=off`,
      '--qmp', `unix:${this.at('qmp')},server=on,wait=off`, ...more,
    ], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#closed = once(this.process, 'close');
    this.process.stdout!.on('data', chunk => (this.#out += chunk));
    this.process.stderr!.on('data', chunk => (this.#err += chunk));
    t.teardown(() => this.process.kill('SIGKILL'));
  }

  /** Makes an image, unless there is one, and runs a machine on it. */
  static start(t: ExecutionContext, image?: string, ...more: readonly string[]): Running {
    const folder = scratch(t);
    const path = image ?? join(folder, 'tpm.qcow2');
    if (image === undefined) nvtpm(['create', path]);
    return new Running(t, path, folder, more);
  }

  /** The path of a socket: qtest or qmp. */
  at(name: string): string {
    return join(this.folder, name);
  }

  monitor(negotiate = true): Promise<Monitor> {
    return Monitor.open(this.at('qmp'), this.process, negotiate);
  }

  async qtest(): Promise<QtestClient> {
    return new QtestClient(new Lines(await connected(this.at('qtest'), this.process)));
  }

  async ended(): Promise<{ exit: number | null; out: string; err: string }> {
    await this.#closed;
    return { exit: this.process.exitCode, out: this.#out, err: this.#err };
  }
}

/** A client of the qtest interface; a World for the steps of test/tis. */
export class QtestClient {
  readonly #lines: Lines;
  /** The IRQ lines since the last look. */
  readonly irqs: string[] = [];

  constructor(lines: Lines) {
    this.#lines = lines;
  }

  async ask(line: string): Promise<string> {
    this.#lines.send(`${line}\n`);
    return this.next();
  }

  send(text: string): void {
    this.#lines.send(text);
  }

  async next(): Promise<string> {
    for (;;) {
      const answer = await this.#lines.next();
      if (!answer.startsWith('IRQ ')) return answer;
      this.irqs.push(answer);
    }
  }

  read = async (address: number, size: number): Promise<number> =>
    Number((await this.ask(`read${WIDTH[size]} ${address}`)).split(' ')[1]);

  write = async (address: number, size: number, value: number): Promise<void> => {
    await this.ask(`write${WIDTH[size]} ${address} ${value}`);
  };

  close(): void {
    this.#lines.close();
  }
}
