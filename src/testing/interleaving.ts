/**
 * Two instances on one disk, in every order in which their steps can fall. Code that is synchronous
 * cannot be stopped half-way, so each actor runs in a thread of its own and waits before each lock,
 * read, write, flush and unlock until the scheduler resumes it. The disk is shared memory.
 *
 * An actor is an exported function of a module: `(stage: Stage) => string`. What it does before
 * `stage.begin()` is its prologue, which runs alone; from there on its steps are scheduled.
 * @module
 */
import assert from 'node:assert/strict';
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
} from 'node:worker_threads';

/** A function that runs in a thread of its own, step by step. */
export interface Actor {
  /** The URL of the module that exports the function: its own `import.meta.url`. */
  readonly module: string;
  /** The name of the exported function. */
  readonly name: string;
  /**
   * Whether its process can die: then each of its steps is also the point of its death, once. Its lock
   * is released, and nothing else happens.
   */
  readonly mortal?: boolean;
}

/** What the interleavings of two actors are like. */
export interface InterleavingOptions {
  /** Whether locks work. Default true. */
  readonly locks?: boolean;
}

/** One order of steps, and its results. */
export interface Interleaving {
  /** The steps as they were taken: `0 lock`, `1 lock`, `0 dies`, … */
  readonly steps: readonly string[];
  /** What each actor returned, or `threw CODE`, or `died`. */
  readonly results: readonly string[];
  /** The disk afterwards. */
  readonly disk: Uint8Array;
}

/** Words of shared memory that an actor and the scheduler talk through. */
export const WORDS = 4;
export const Word = { TURN: 0, KIND: 1, HOLDS: 2, DIES: 3 } as const;
export const Turn = { SCHEDULER: 0, ACTOR: 1, DONE: 2 } as const;
export const STEPS = ['begin', 'lock', 'read', 'write', 'flush', 'unlock'] as const;
export type Step = (typeof STEPS)[number];

/** An actor that takes so long for one step hangs; on a busy machine a step may take seconds. */
const WAIT_MS_MAX = 600_000;

interface Player {
  readonly isMortal: boolean;
  readonly worker: Worker;
  readonly port: MessagePort;
  readonly words: Int32Array;
}

/** Yields every interleaving of two actors on a disk that holds `before` at the start. */
export function* everyInterleaving(
  before: Uint8Array,
  actors: readonly [Actor, Actor],
  { locks = true }: InterleavingOptions = {},
): Generator<Interleaving, void, void> {
  const disk = new Uint8Array(new SharedArrayBuffer(before.length));
  const players = actors.map(actor => hire(actor, disk, locks));
  const trail: { taken: number; options: number }[] = [];
  try {
    do {
      disk.set(before);
      yield { ...perform(players, trail), disk: disk.slice() };
      while (trail.length > 0 && trail.at(-1)!.taken === trail.at(-1)!.options - 1) trail.pop();
      if (trail.length > 0) trail.at(-1)!.taken += 1;
    } while (trail.length > 0);
  } finally {
    for (const { worker } of players) void worker.terminate();
  }
}

function hire(actor: Actor, disk: Uint8Array, locks: boolean): Player {
  const words = new Int32Array(new SharedArrayBuffer(4 * WORDS));
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(new URL('./interleaving-actor.js', import.meta.url), {
    workerData: { actor, disk, words, locks, port: port2 },
    transferList: [port2],
  });
  worker.unref();
  return { isMortal: actor.mortal ?? false, worker, port: port1, words };
}

/** One run: the prologues one after the other, then the steps as the trail says. */
function perform(
  players: readonly Player[],
  trail: { taken: number; options: number }[],
): { steps: string[]; results: string[] } {
  const steps: string[] = [];
  for (const player of players) {
    player.port.postMessage('perform');
    grant(player);
  }
  for (let depth = 0; ; ) {
    const moves = players.flatMap((player, index) => movesOf(players, player, index));
    if (moves.length === 0) break;
    let choice = 0;
    if (moves.length > 1) {
      trail[depth] ??= { taken: 0, options: moves.length };
      assert.equal(trail[depth]!.options, moves.length, 'an actor acted otherwise this time');
      choice = trail[depth]!.taken;
      depth += 1;
    }
    const { index, dies } = moves[choice]!;
    const player = players[index]!;
    steps.push(`${index} ${dies ? 'dies' : pending(player)}`);
    player.words[Word.DIES] = dies ? 1 : 0;
    grant(player);
  }
  const stuck = players.some(({ words }) => words[Word.TURN] !== Turn.DONE);
  assert(!stuck, 'both actors wait for each other');
  return { steps, results: players.map(({ port }) => receiveMessageOnPort(port)!.message) };
}

const pending = ({ words }: Player): Step => STEPS[words[Word.KIND]!]!;

interface Move {
  readonly index: number;
  readonly dies: boolean;
}

/** What an actor can do now: take its step, or die before it. */
function movesOf(players: readonly Player[], player: Player, index: number): Move[] {
  if (!canGo(players, player)) return [];
  const step = { index, dies: false };
  return player.isMortal ? [step, { index, dies: true }] : [step];
}

/** Whether an actor has a step that the lock of the other one does not block. */
function canGo(players: readonly Player[], player: Player): boolean {
  if (player.words[Word.TURN] === Turn.DONE) return false;
  const others = players.filter(other => other !== player);
  return pending(player) !== 'lock' || others.every(({ words }) => words[Word.HOLDS] === 0);
}

/** Runs an actor's step, and waits until it is at the next one, or done. */
function grant({ words }: Player): void {
  Atomics.store(words, Word.TURN, Turn.ACTOR);
  Atomics.notify(words, Word.TURN);
  // A late notification of the step before can end the wait too early, so the word decides.
  while (Atomics.load(words, Word.TURN) === Turn.ACTOR) {
    const outcome = Atomics.wait(words, Word.TURN, Turn.ACTOR, WAIT_MS_MAX);
    assert.notEqual(
      outcome,
      'timed-out',
      'an actor does not return from its step; its module must be JavaScript, and its own errors are reported by the worker',
    );
  }
}
