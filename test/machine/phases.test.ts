/**
 * Random lives of a machine over an image file, with failures of engine, image, guard and lock at any
 * step: after each transition the phase is the new one, or the old one, or off (or gone), and exactly
 * what that phase holds is held.
 * @long
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import {
  type BlockNode,
  type Guard,
  type GuardRole,
  type LockedNode,
  openFile,
  openImage,
  openQcow2,
  takeGuard,
} from '../../src/block/index.js';
import { type Machine, type MachineState, NvtpmError, type Power } from '../../src/index.js';
import { LockError } from '../../src/lock/index.js';
import { type Fault, FaultNode } from '../../src/testing/index.js';
import { type EngineStep, Engines } from './_engines.js';
import { machineOn, newImage } from './_machines.js';

const FOLDER = mkdtempSync(join(tmpdir(), 'nvtpm-test-'));
test.after.always(() => rmSync(FOLDER, { recursive: true }));
const FRESH = (() => {
  const path = join(FOLDER, 'fresh.qcow2');
  newImage(path, 512 * 1024);
  using image = openImage(path);
  const machine = machineOn(image);
  machine.powerOn();
  machine.powerOff();
  return path;
})();

/** Each transition: from where, and where it leads. */
// biome-ignore format: table
const TRANSITIONS = {
  powerOn:  { from: ['off'],                      to: 'on' },
  load:     { from: ['off'],                      to: 'on' },
  takeOver: { from: ['off'],                      to: 'on' },
  reset:    { from: ['on'],                       to: 'on' },
  save:     { from: ['on'],                       to: 'on' },
  handOver: { from: ['on'],                       to: 'handed over' },
  takeBack: { from: ['handed over'],              to: 'on' },
  powerOff: { from: ['on', 'handed over', 'off'], to: 'off' },
  cutPower: { from: ['on', 'handed over', 'off'], to: 'off' },
  /** Another machine takes over what is handed over, and goes. */
  rival:    { from: ['handed over'],              to: 'handed over' },
} as const satisfies Record<string, { from: readonly Power[]; to: Power }>;
type Transition = keyof typeof TRANSITIONS;
const NAMES = Object.keys(TRANSITIONS) as Transition[];

/** What goes wrong during a transition. */
type Trouble =
  | { readonly kind: 'none' }
  | { readonly kind: 'engine'; readonly step: EngineStep }
  | { readonly kind: 'disk'; readonly on: Fault['on']; readonly after: number }
  | { readonly kind: 'guard'; readonly role: GuardRole }
  | { readonly kind: 'lock' };

const engineStep = fc.constantFrom<EngineStep>(
  ...(['make', 'init', 'initialised', 'volatileState', 'restore', 'restored'] as const),
);
const trouble: fc.Arbitrary<Trouble> = fc.oneof(
  { weight: 5, arbitrary: fc.constant({ kind: 'none' as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('engine' as const), step: engineStep }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('disk' as const),
      on: fc.constantFrom('read' as const, 'write' as const, 'flush' as const),
      after: fc.nat(12),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('guard' as const),
      role: fc.constantFrom<GuardRole>('reader', 'writer'),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'lock' as const }) },
);
const step = fc.record({ name: fc.constantFrom(...NAMES), trouble });
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** The phases that a transition may leave behind when it fails. */
function afterFailure(name: Transition, before: Power): Power[] {
  if (name === 'powerOff') return ['off'];
  return name === 'takeBack' ? [before, 'off', 'gone'] : [before, 'off'];
}

class Life {
  readonly #t: ExecutionContext;
  readonly #path: string;
  readonly #engines = new Engines();
  readonly #faults: Fault[] = [];
  #fault!: FaultNode;
  #image!: BlockNode;
  machine!: Machine;
  #other: BlockNode;
  #saved: MachineState | undefined;
  #left: MachineState | undefined;

  constructor(t: ExecutionContext, path: string) {
    this.#t = t;
    this.#path = path;
    copyFileSync(FRESH, path);
    this.#other = openImage(path);
    this.#open();
  }

  #open(): void {
    this.#faults.length = 0;
    this.#fault = new FaultNode(openFile(this.#path), this.#faults);
    this.#image = openQcow2(this.#fault);
    this.machine = machineOn(this.#image, {
      engine: this.#engines.make,
      wait: { timeoutMs: 0 },
    });
  }

  close(): void {
    this.machine.cutPower();
    this.#image.close();
    this.#other.close();
  }

  /** Whether it succeeded; undefined where it makes no sense in this phase. */
  run({ name, trouble }: Step): boolean | undefined {
    const before = this.machine.power;
    const { from, to } = TRANSITIONS[name];
    if (!(from as readonly Power[]).includes(before) || !this.#canDo(name)) return undefined;
    const end = this.#cause(trouble);
    let failure: unknown;
    try {
      this.#do(name);
    } catch (error) {
      failure = error;
    } finally {
      end();
    }
    const after = this.machine.power;
    const what = `${name} with ${JSON.stringify(trouble)}: ${before} became ${after}; ${failure}`;
    if (failure === undefined) this.#t.is(after, to, what);
    else this.#t.true(failure instanceof NvtpmError, `${what}\n${(failure as Error).stack}`);
    if (failure !== undefined) this.#t.true(afterFailure(name, before).includes(after), what);
    this.#holdsWhatItShould(what);
    this.#renew();
    return failure === undefined;
  }

  #canDo(name: Transition): boolean {
    if (name === 'load') return this.#saved !== undefined;
    if (name === 'takeOver') return this.#left !== undefined;
    return true;
  }

  #do(name: Transition): void {
    if (name === 'save') this.#saved = this.machine.save();
    else if (name === 'handOver') this.#left = this.machine.handOver();
    else if (name === 'load') this.machine.load(this.#saved!);
    else if (name === 'takeOver') this.machine.takeOver(this.#left!);
    else if (name === 'rival') this.#rival();
    else this.machine[name]();
  }

  #rival(): void {
    const rival = machineOn(this.#other, { wait: { timeoutMs: 0 } });
    rival.takeOver(this.#left!);
    rival.powerOff();
  }

  /** Prepares the trouble, and returns what ends it. */
  #cause(trouble: Trouble): () => void {
    const guards: Guard[] = [];
    const locks: LockedNode[] = [];
    if (trouble.kind === 'engine') this.#engines.failing = trouble.step;
    if (trouble.kind === 'disk') {
      const nth = this.#fault.counts[trouble.on] + 1 + trouble.after;
      this.#faults.push({ on: trouble.on, nth, effect: { kind: 'error', errno: 'EIO' } });
    }
    try {
      if (trouble.kind === 'guard') guards.push(takeGuard(this.#other, trouble.role));
      if (trouble.kind === 'lock') {
        guards.push(takeGuard(this.#other, 'incoming'));
        locks.push(this.#other.lock({ timeoutMs: 0 }));
      }
    } catch (error) {
      // The machine has it.
      if (!(error instanceof LockError)) throw error;
    }
    return () => {
      for (const lock of locks) lock.release();
      for (const guard of guards) guard.release();
      this.#engines.failing = undefined;
      this.#faults.length = 0;
    };
  }

  #holdsWhatItShould(what: string): void {
    const { power } = this.machine;
    const { open } = this.#engines;
    this.#t.is(open, power === 'on' || power === 'handed over' ? 1 : 0, `engines; ${what}`);
    const isFree = (role: GuardRole): boolean => {
      try {
        takeGuard(this.#other, role).release();
        return true;
      } catch (error) {
        if (error instanceof LockError && error.code === 'LOCKED') return false;
        throw error;
      }
    };
    this.#t.is(isFree('writer'), power !== 'on', `the guard; ${what}`);
    this.#t.is(isFree('reader'), power !== 'on', `the guard; ${what}`);
    // No cycle lock outlives a transition.
    const beside = takeGuard(this.#other, 'incoming');
    const lock = this.#other.tryLock();
    this.#t.not(lock, undefined, `the cycle lock; ${what}`);
    lock?.release();
    beside.release();
    if (power === 'off' || power === 'gone') takeGuard(this.#image, 'writer').release();
  }

  /** A machine that is gone stays gone, and a node whose write-back failed stays broken. */
  #renew(): void {
    if (this.machine.power === 'gone') this.#reopen();
    if (this.machine.power !== 'off') return;
    try {
      this.#image.tryLock()?.release();
    } catch {
      this.#reopen();
    }
  }

  #reopen(): void {
    this.#image.close();
    this.#open();
  }
}

test('random lives hold what their phase says, whatever fails', t => {
  const succeeded = new Map<Transition, number>();
  const failed = new Map<Transition, number>();
  let lives = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 25 }), steps => {
      const life = new Life(t, join(FOLDER, `life-${(lives += 1)}.qcow2`));
      life.run({ name: 'powerOn', trouble: { kind: 'none' } });
      for (const each of steps) {
        const done = life.run(each);
        const count = done ? succeeded : failed;
        if (done !== undefined) count.set(each.name, (count.get(each.name) ?? 0) + 1);
      }
      life.close();
    }),
    { numRuns: 60, seed: 11 },
  );
  for (const name of NAMES) {
    t.true((succeeded.get(name) ?? 0) > 0, `${name} succeeded`);
    // A power cut needs neither image nor engine.
    t.is((failed.get(name) ?? 0) > 0, name !== 'cutPower', `${name} failed`);
  }
  t.log(`${lives} lives; failed: ${JSON.stringify(Object.fromEntries(failed))}`);
});
