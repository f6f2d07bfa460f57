/**
 * Round robin: clients of one TPM take turns, one command a turn, and the event loop runs between two
 * turns. So a client waits for at most one command of each other client, however many they have sent,
 * and a signal waits for the command that runs.
 * @module
 */

export interface Contender {
  /** Whether it has a command that can run now. */
  readonly ready: boolean;
  /** Runs one command. A promise settles, and never rejects, once the command has ended. */
  turn(): void | Promise<void>;
}

export class Rotation {
  readonly #isAlone: () => boolean;
  readonly #waiting = new Set<Contender>();
  #running: Contender | undefined;
  #pass: NodeJS.Immediate | undefined;
  #ended = false;

  /**
   * @param isAlone whether there is only one client: its next command, if it comes after the response,
   *   may run in the same pass of the event loop
   */
  constructor(isAlone: () => boolean) {
    this.#isAlone = isAlone;
  }

  /** To be called whenever a contender may have become ready. */
  enter(contender: Contender): void {
    if (this.#ended || contender === this.#running || !contender.ready) return;
    this.#waiting.add(contender);
    if (this.#running === undefined && this.#pass === undefined) this.#next();
  }

  leave(contender: Contender): void {
    this.#waiting.delete(contender);
  }

  /** No more commands run: those that wait are discarded. */
  end(): void {
    this.#ended = true;
    this.#waiting.clear();
    clearImmediate(this.#pass);
  }

  #next(): void {
    const [contender] = this.#waiting;
    if (contender === undefined) return;
    this.#waiting.delete(contender);
    this.#running = contender;
    const turn = contender.turn();
    if (turn === undefined) this.#ran(contender);
    else void turn.then(() => this.#ran(contender));
  }

  #ran(contender: Contender): void {
    this.#running = undefined;
    if (this.#ended) return;
    // Behind the others.
    if (contender.ready) this.#waiting.add(contender);
    if (this.#waiting.size === 0 && this.#isAlone()) return;
    this.#pass ??= setImmediate(() => {
      this.#pass = undefined;
      this.#next();
    });
  }
}
