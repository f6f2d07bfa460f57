/**
 * A machine that other programs control: its run state, its events, its end. The interfaces (qtest, QMP)
 * act on it here, and do not know each other. States and events have QEMU's names.
 * @module
 */
import type { Socket } from 'node:net';
import { NvtpmError } from '../errors.js';
import type { Machine } from '../machine/index.js';
import { accept, Channel, migrate, takeBack } from '../migration/index.js';
import { NvramError } from '../nvram/index.js';
import type { InterruptLine, Tis } from '../tis/index.js';
import type { Trace } from '../trace.js';
import { reach } from './endpoint.js';

export type RunState =
  | 'prelaunch'
  | 'inmigrate'
  | 'running'
  | 'paused'
  | 'finish-migrate'
  | 'postmigrate'
  | 'shutdown';

/** Why a machine ended. */
export type EndReason = 'host-qmp-quit' | 'host-signal';

interface Change {
  readonly event: 'STOP' | 'RESUME' | 'RESET' | 'POWERDOWN' | 'SHUTDOWN';
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface HostEvent extends Change {
  readonly timestamp: { readonly seconds: number; readonly microseconds: number };
}

export interface MigrationStatus {
  readonly status: 'active' | 'completed' | 'failed';
  readonly why?: string;
}

/** The run state of the machine does not allow this. */
export class HostError extends NvtpmError {
  override readonly name = 'HostError';
  readonly code = 'PHASE';
  readonly outcome = 'FAILED';
}

/** How long a migration counts as active while the image does not show where the machine is. */
const ACTIVE_MS = 1000;

export interface HostOptions {
  /** Makes the machine; its interrupt line ends here. */
  readonly machine: (irq: InterruptLine) => Machine;
  readonly trace: Trace;
  /** Microseconds since 1970, for the time of events. */
  readonly now: () => number;
}

export class Host {
  readonly #trace: Trace;
  readonly #now: () => number;
  readonly machine: Machine;
  readonly #events = new Set<(event: HostEvent) => void>();
  readonly #lines = new Set<(level: boolean) => void>();
  readonly ended: Promise<EndReason>;
  #end!: (reason: EndReason) => void;
  #fail!: (error: unknown) => void;

  #state: RunState = 'prelaunch';
  #migration: MigrationStatus | undefined;
  #migrating: Promise<void> = Promise.resolve();
  /** Aborted when the machine ends. */
  readonly #quitting = new AbortController();

  constructor({ machine, trace, now }: HostOptions) {
    this.#trace = trace;
    this.#now = now;
    this.machine = machine(level => {
      for (const listener of this.#lines) listener(level);
    });
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    // Another instance has the store: nothing that this one acknowledges would last.
    this.machine.onFailure(error => {
      if (error instanceof NvramError && error.code === 'FENCED') this.fail(error);
    });
  }

  get state(): RunState {
    return this.#state;
  }

  /** The registers, unless the machine is off or has moved away. */
  get tis(): Tis | undefined {
    return this.machine.power === 'on' ? this.machine.tis : undefined;
  }

  /** The last migration away from here, if there was one. */
  get migration(): MigrationStatus | undefined {
    return this.#migration;
  }

  /** Calls `listener` with every event. Returns a function that removes it. */
  onEvent(listener: (event: HostEvent) => void): () => void {
    this.#events.add(listener);
    return () => this.#events.delete(listener);
  }

  /** Calls `listener` with the level of the interrupt line whenever it changes. */
  onInterrupt(listener: (level: boolean) => void): () => void {
    this.#lines.add(listener);
    return () => this.#lines.delete(listener);
  }

  /** @throws what Machine.powerOn throws */
  powerOn(): void {
    this.machine.powerOn();
    this.#state = 'running';
  }

  /** Takes over the machine that arrives on `socket`. @throws the fault, if it is refused */
  async takeOver(socket: Socket): Promise<void> {
    using channel = new Channel(socket);
    await accept(this.machine, channel, { trace: this.#trace });
    this.#become('running', { event: 'RESUME' });
  }

  /** From now on the run state says that a machine is expected. */
  awaitIncoming(): void {
    this.#state = 'inmigrate';
  }

  stop(): void {
    if (this.#state === 'running') this.#become('paused', { event: 'STOP' });
  }

  /** @throws HostError once the machine has moved away, or before it has arrived */
  resume(): void {
    this.#mustBeHere();
    if (this.#state === 'paused') this.#become('running', { event: 'RESUME' });
  }

  /** @throws HostError; what Machine.reset throws, which also ends the run */
  reset(): void {
    this.#mustBeHere();
    try {
      this.machine.reset();
    } catch (error) {
      this.fail(error);
      throw error;
    }
    this.#send({ event: 'RESET', data: { guest: false, reason: 'host-qmp-system-reset' } });
  }

  /** Presses the power button: an event, which no guest here reacts to. */
  powerDown(): void {
    this.#send({ event: 'POWERDOWN' });
  }

  /** Starts to migrate the machine to a target at the Unix socket `path`; see `migration`. */
  migrate(path: string): void {
    this.#mustBeHere();
    this.#migration = { status: 'active' };
    this.#migrating = this.#leave(path).catch(error => this.fail(error));
  }

  /** Ends the machine in order, after a migration that is under way. */
  quit(reason: EndReason): void {
    if (this.#state === 'shutdown') return;
    this.#become('shutdown', { event: 'SHUTDOWN', data: { guest: false, reason } });
    this.#quitting.abort();
    void this.#migrating.then(() => this.#end(reason));
  }

  /** Ends the machine because of a fault of the image, or a bug: `ended` rejects with it. */
  fail(error: unknown): void {
    this.#fail(error);
  }

  async #leave(path: string): Promise<void> {
    const before = this.#state;
    const back = (why: string): void => {
      this.#migration = { status: 'failed', why };
      this.#settle(before, before === 'running' ? { event: 'RESUME' } : undefined);
    };
    let channel: Channel | undefined;
    try {
      channel = new Channel(await reach(path));
      if (this.#state === 'shutdown') return;
      this.#become('finish-migrate', before === 'running' ? { event: 'STOP' } : undefined);
      const { end, why } = await migrate(this.machine, channel, {
        trace: this.#trace,
        askMs: ACTIVE_MS,
      });
      if (end === 'kept' || (end === 'stuck' && (await this.#isBack(why)))) back(why);
      else this.#left(end === 'moved' ? { status: 'completed' } : { status: 'failed', why });
    } catch (error) {
      // If handing over failed, the machine still runs; if taking back failed, it has ended.
      if (!(error instanceof NvtpmError) || this.machine.power === 'off') throw error;
      back(error.message);
    } finally {
      channel?.close();
    }
  }

  /** Asks the image where the machine is, again until it has an answer or the run ends. */
  async #isBack(why: string): Promise<boolean> {
    this.#migration = { status: 'failed', why };
    const found = await takeBack(this.machine, { signal: this.#quitting.signal });
    return found.is === 'back';
  }

  #left(migration: MigrationStatus): void {
    this.#migration = migration;
    this.#settle('postmigrate');
  }

  /** The end of a migration, unless the run has ended meanwhile. */
  #settle(state: RunState, event?: Change): void {
    if (this.#state === 'finish-migrate') this.#become(state, event);
  }

  #become(state: RunState, event: Change | undefined): void {
    this.#state = state;
    if (event !== undefined) this.#send(event);
  }

  #send(change: Change): void {
    const now = this.#now();
    const timestamp = { seconds: Math.floor(now / 1e6), microseconds: Math.floor(now % 1e6) };
    for (const listener of this.#events) listener({ timestamp, ...change });
  }

  #mustBeHere(): void {
    if (this.machine.power === 'on' && this.#migration?.status !== 'active') return;
    const where = this.#state === 'inmigrate' ? 'has not arrived yet' : 'is leaving, or has left';
    throw new HostError(`the machine ${where} (${this.#state})`);
  }
}
