/** Another process, told what to do line by line, for tests of what happens between processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ExecutionContext } from 'ava';
import { ROOT } from '../lab/files.js';

export class Child {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** @param script a compiled helper below dist/test/ */
  constructor(t: ExecutionContext, script: string, ...args: readonly string[]) {
    this.process = spawn(process.execPath, [join(ROOT, 'dist/test', script), ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    t.teardown(() => this.process.kill('SIGKILL'));
    this.#lines = createInterface(this.process.stdout!)[Symbol.asyncIterator]();
  }

  /** The next line that it prints. */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    return done ? '(ended)' : value;
  }

  /** Sends a line and waits for the answer. */
  async ask(line: string): Promise<string> {
    this.process.stdin!.write(`${line}\n`);
    return this.line();
  }

  async kill(): Promise<void> {
    const gone = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await gone;
  }

  /** Its exit code, once it has ended. */
  async ended(): Promise<number | null> {
    if (this.process.exitCode !== null) return this.process.exitCode;
    const [code] = await once(this.process, 'exit');
    return code;
  }
}
