/**
 * The proof that a state travels: both TPMs are powered on with it, the same is asked of both, and
 * what both write back is the same to the last byte.
 */
import { commands, STARTUP } from '../../src/guest/index.js';
import { StateError } from '../../src/tpm/engine.js';
import { decodePermall, encodePermall } from '../../src/tpm/tpm12/state/permall.js';
import { toHex } from '../files.js';
import type { Swtpm } from '../peers/swtpm.js';
import type { Difference } from '../recorder/replay.js';
import { Mirror } from '../reference/mirror.js';
import type { Life } from './life.js';
import { ask, deactivate } from './questions.js';
import { ours, type States, type Subject, theirs } from './subject.js';

/** Who lives the life. */
export type Origin = 'ours' | 'theirs';

export interface Journey {
  readonly differences: readonly Difference[];
  readonly commands: number;
  readonly states: States;
}

/** A TPM of `origin`, as a life begins in it. */
export const born =
  (origin: Origin, tpm: Swtpm) =>
  (states: States): Subject =>
    origin === 'ours' ? ours(states) : theirs(tpm, states);

/** Takes the state that `life` ended with to both TPMs, and compares them. */
export function travel(life: Life, tpm: Swtpm): Journey {
  const states = life.states();
  const { permall, savestate } = states;
  const differences: Difference[] = [];
  const compare = (what: string, recorded: Uint8Array, found: Uint8Array): void => {
    if (toHex(recorded) !== toHex(found)) {
      differences.push({ what, recorded: toHex(recorded), ours: toHex(found) });
    }
  };
  try {
    compare('decoded and encoded', permall!, encodePermall(decodePermall(permall!)));
    tpm.adopt(states);
    compare('loaded and stored by libtpms', permall!, tpm.permall()!);
    const mirror = new Mirror(tpm, savestate);
    visit(life, mirror, savestate);
    differences.push(...mirror.differences);
    for (const what of mirror.departures.keys()) differences.push({ what, recorded: '', ours: '' });
    const count = [...mirror.met.values()].reduce((sum, { wellFormed }) => sum + wellFormed, 0);
    return { differences, commands: count, states };
  } catch (error) {
    if (!(error instanceof StateError)) throw error;
    return {
      differences: [...differences, { what: error.message, recorded: '', ours: '' }],
      commands: 0,
      states,
    };
  }
}

/** The questions, before and after one more power cycle. */
function visit(life: Life, mirror: Mirror, savestate: Uint8Array | undefined): void {
  life.moveTo(mirror);
  life.try(() =>
    life.run(commands.startup(savestate === undefined ? STARTUP.CLEAR : STARTUP.STATE)),
  );
  life.try(() => life.run(commands.saveState()));
  mirror.compareStates();
  ask(life);
  life.try(() => life.run(commands.saveState()));
  mirror.compareStates();
  mirror.powerCut();
  life.try(() => life.run(commands.startup(STARTUP.STATE)));
  mirror.hash(new Uint8Array(1));
  mirror.compareStates();
  ask(life);
  deactivate(life);
  life.try(() => life.run(commands.saveState()));
  mirror.compareStates();
}
