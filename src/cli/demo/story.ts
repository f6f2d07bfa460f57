/**
 * The demonstration as it goes: its steps, and what has been shown so far.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Printer, stdoutClosed } from '../output.js';
import { wrap } from '../wrap.js';
import { progress } from './progress.js';
import { StepProcess } from './step-process.js';
import { VirtualMachine } from './virtual-machine.js';

/** What a step showed. */
export interface Chapter {
  readonly title: string;
  readonly holds: boolean;
  readonly evidence: readonly string[];
  readonly data: object;
}

/** A value before and after a step, which must be equal. */
export interface Compared {
  readonly what: string;
  readonly before: string;
  readonly now: string;
}

const COLUMNS_DEFAULT = 80;
const COLUMNS_MAX = 100;
const INDENT = '    ';

export class Story {
  readonly image: string;
  /** Where the machine that migrates connects to. */
  readonly socket: string;
  readonly #printer: Printer;
  readonly #folder = mkdtempSync(join(tmpdir(), 'nvtpm-demo-'));
  readonly #running = new Set<StepProcess>();
  readonly #machines: VirtualMachine[] = [];
  readonly #chapters: Chapter[] = [];

  constructor(image: string, printer: Printer) {
    this.image = image;
    this.socket = join(this.#folder, 'migration.sock');
    this.#printer = printer;
  }

  get chapters(): readonly Chapter[] {
    return this.#chapters;
  }

  /** Ends what still runs and removes the folder. */
  close(): void {
    progress.stop();
    for (const step of this.#running) step.kill();
    for (const machine of this.#machines) void machine.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Runs a step to its end. @throws StepError */
  async run<T extends object>(name: string): Promise<T> {
    const step = this.start(name);
    const evidence = await step.next<T>();
    await step.ended();
    return evidence;
  }

  /** Starts a step that is talked to. */
  start(name: string): StepProcess {
    const step = new StepProcess(name, this.image, this.socket);
    this.#running.add(step);
    step.ended().then(() => this.#running.delete(step));
    return step;
  }

  /** Boots QEMU on the image. @throws StepError */
  boot(): Promise<VirtualMachine> {
    const folder = mkdtempSync(join(this.#folder, 'machine-'));
    return VirtualMachine.start(this.image, folder, machine => this.#machines.push(machine));
  }

  /** Shows that something begins that takes a moment. @throws IoError if the output is closed */
  next(what: string): void {
    if (this.#printer.isClosed) throw stdoutClosed();
    if (!this.#printer.json) progress.start(what);
  }

  /** Shows what a step showed. */
  tell(
    title: string,
    holds: boolean,
    evidence: readonly (string | Compared)[],
    data: object,
  ): void {
    progress.stop();
    const { json, paint } = this.#printer;
    const lines = evidence.flatMap(each => (typeof each === 'string' ? [each] : compared(each)));
    this.#chapters.push({ title, holds, evidence: lines, data });
    if (json) return;
    this.#printer.say(`${holds ? paint.green('✔') : paint.red('✘')} ${paint.bold(title)}`);
    for (const line of lines) this.#sayEvidence(line);
  }

  #sayEvidence(line: string): void {
    const { columns = COLUMNS_DEFAULT, paint } = this.#printer;
    const width = Math.min(columns, COLUMNS_MAX) - INDENT.length;
    for (const part of wrap(line, width)) {
      const marked = part
        .replace(/ = equal$/, ` ${paint.green('= equal')}`)
        .replace(/ ≠ DIFFERENT$/, ` ${paint.red('≠ DIFFERENT')}`);
      this.#printer.say(`${INDENT}${marked === part ? paint.dim(part) : marked}`);
    }
  }
}

/** One below the other, so that the eye compares too. */
function compared({ what, before, now }: Compared): string[] {
  const verdict = before === now ? '= equal' : '≠ DIFFERENT';
  return [`${what} before  ${before}`, `${what} now     ${now} ${verdict}`];
}
