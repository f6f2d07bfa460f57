/**
 * The thread of one actor: a block node over shared memory that waits for the scheduler before each step.
 * @module
 */
import assert from 'node:assert/strict';
import { type MessagePort, workerData } from 'node:worker_threads';
import { type Bytes, LockableNode, type LowerLock } from '../block/lockable.js';
import type { BlockNode, ProtocolNode } from '../block/node.js';
import { type Actor, STEPS, type Step, Turn, Word } from './interleaving.js';

/** What an actor is given. */
export interface Stage {
  readonly disk: BlockNode;
  /** Ends the prologue: from here on, every step waits for its turn. */
  begin(): void;
}

interface Engagement {
  readonly actor: Actor;
  readonly disk: Uint8Array;
  readonly words: Int32Array;
  readonly locks: boolean;
  readonly port: MessagePort;
}

const { actor, disk: shared, words, locks: working, port } = workerData as Engagement;

/** Whether the prologue is over. Before that the actor runs alone, and nothing waits. */
let scheduled = false;

let isDead = false;

/** The actor's process has died. Thrown by the step before which it did, and by all that follow. */
class Death extends Error {}

/** Announces the next step, and waits until the scheduler selects it. */
function awaitTurn(step: Step): void {
  if (isDead) throw new Death();
  if (!scheduled) return;
  words[Word.KIND] = STEPS.indexOf(step);
  hand(Turn.SCHEDULER);
  untilGranted();
  if (words[Word.DIES] === 0) return;
  isDead = true;
  throw new Death();
}

function untilGranted(): void {
  for (let turn = Atomics.load(words, Word.TURN); turn !== Turn.ACTOR; ) {
    Atomics.wait(words, Word.TURN, turn);
    turn = Atomics.load(words, Word.TURN);
  }
}

function hand(turn: number): void {
  Atomics.store(words, Word.TURN, turn);
  Atomics.notify(words, Word.TURN);
}

/** The lock that both actors share: held by one of them, where locks work. */
const STAGED_LOCK: LowerLock = {
  release() {
    awaitTurn('unlock');
    words[Word.HOLDS] = 0;
  },
  abandon() {
    this.release();
  },
};
/** A lock inside another one takes no step. */
const NESTED_LOCK: LowerLock = { release: () => {}, abandon: () => {} };

class StagedDisk extends LockableNode<LowerLock> implements ProtocolNode {
  readonly driver = 'staged';
  readonly path = 'shared disk';
  readonly readOnly = false;
  readonly file = undefined;
  protected readonly bytes: Bytes = {
    length: shared.length,
    read(offset, length) {
      awaitTurn('read');
      return Uint8Array.from(shared.subarray(offset, offset + length));
    },
    write(offset, bytes) {
      awaitTurn('write');
      shared.set(bytes, offset);
    },
    flush: () => awaitTurn('flush'),
    truncate: () => assert.fail('a shared disk does not grow'),
  };

  peek(offset: number, length: number): Uint8Array {
    return Uint8Array.from(shared.subarray(offset, offset + length));
  }

  lockHolder(): undefined {
    return undefined;
  }

  protected acquire(): LowerLock {
    if (this.depth > 0) return NESTED_LOCK;
    awaitTurn('lock');
    words[Word.HOLDS] = working ? 1 : 0;
    return STAGED_LOCK;
  }

  protected closeBelow(): void {}
}

const { [actor.name]: play } = (await import(actor.module)) as Record<
  string,
  (stage: Stage) => string
>;
assert(play !== undefined, `${actor.module} exports no ${actor.name}`);

function outcomeOf(act: () => string): string {
  try {
    const outcome = act();
    return isDead ? 'died' : outcome;
  } catch (error) {
    if (isDead) return 'died';
    return `threw ${(error as { code?: string }).code ?? String(error)}`;
  }
}

port.on('message', () => {
  untilGranted();
  scheduled = false;
  isDead = false;
  const begin = (): void => {
    scheduled = true;
    awaitTurn('begin');
  };
  port.postMessage(outcomeOf(() => play({ disk: new StagedDisk(), begin })));
  // The lock of an actor that died is released by now, as of one that kept it.
  words[Word.HOLDS] = 0;
  hand(Turn.DONE);
});
