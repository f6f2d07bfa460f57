/** Lives at random: what happens in one, how often, and how it ends. */
import { commands, raw } from '../../src/guest/index.js';
import { endorsed, owned } from '../reference/states.js';
import {
  dropKey,
  keepKey,
  loadContext,
  loadKey,
  makeCertifiedKey,
  makeIdentity,
  makeKey,
  saveContext,
} from './keys.js';
import { type Beginning, Life, WRONG } from './life.js';
import { defineNv, fillNv, lockNv, writeNv } from './nv.js';
import {
  auditMore,
  changeSecrets,
  clear,
  count,
  measure,
  nameOperator,
  setFlags,
  settle,
  standBefore,
} from './platform.js';
import {
  delegate,
  manageFamilies,
  openDsap,
  openOiap,
  openOsap,
  openTransport,
  pointToRow,
  useSession,
} from './sessions.js';
import type { States, Subject } from './subject.js';

type Event = (life: Life) => void;

/** What happens, the more often the larger its number. */
// biome-ignore format: table
const EVENTS: readonly (readonly [Event, number])[] = [
  [measure,          3],
  [standBefore,      1],
  [nameOperator,     1],
  [setFlags,         3],
  [auditMore,        2],
  [changeSecrets,    1],
  [settle,           1],
  [clear,            1],
  [count,            3],
  [defineNv,         5],
  [writeNv,          5],
  [fillNv,           1],
  [lockNv,           1],
  [makeKey,          4],
  [makeCertifiedKey, 1],
  [makeIdentity,     1],
  [loadKey,          3],
  [dropKey,          1],
  [keepKey,          2],
  [saveContext,      3],
  [loadContext,      1],
  [openOiap,         2],
  [openOsap,         3],
  [openDsap,         3],
  [openTransport,    2],
  [useSession,       3],
  [manageFamilies,   1],
  [delegate,         4],
];
const DRAWN = EVENTS.flatMap(([event, often]) => new Array<Event>(often).fill(event));

/** What lasts until power is cut only, at the end of a life, so that a saved state is full. */
const LAST: readonly Event[] = [
  ...[openOiap, openOsap, openDsap, openDsap, openTransport, useSession, saveContext],
  ...[loadKey, loadKey, makeKey, lockNv, writeNv, count, measure],
];

const STATES: Readonly<Record<Beginning, () => States>> = {
  new: () => ({}),
  endorsed: () => ({ permall: endorsed() }),
  owned: () => ({ permall: owned() }),
};
// biome-ignore format: table
const BEGINNINGS: readonly Beginning[] = ['new', 'endorsed', 'owned', 'owned', 'owned', 'owned'];

const EVENTS_MAX = 90;
const LAST_MAX = 24;
/** How many events come between two power cycles. */
const CYCLE = 25;
/** Wrong secrets that begin a lockout. */
const LOCKOUT = 6;

/** Lives a life of `seed` to its end; `born` makes the TPM. */
export function live(born: (states: States) => Subject, seed: number): Life {
  const beginning = BEGINNINGS[seed % BEGINNINGS.length]!;
  const life = new Life(born(STATES[beginning]()), seed, beginning);
  for (let left = 5 + life.below(EVENTS_MAX); left > 0; left -= 1) {
    life.pick(DRAWN)!(life);
    if (life.chance(CYCLE)) life.powerCycle(life.chance(2));
  }
  end(life);
  return life;
}

/** Three of four lives end with a saved state; some in a lockout, or deactivated. */
function end(life: Life): void {
  for (let left = life.below(LAST_MAX); left > 0; left -= 1) life.pick(LAST)!(life);
  if (life.chance(8)) for (let left = 1 + life.below(4); left > 0; left -= 1) life.fail();
  if (life.chance(10)) life.try(() => life.run(raw.rawCommand('ResetLockValue', 0), [WRONG]));
  if (life.chance(6)) pointToRow(life);
  if (life.chance(20)) for (let left = LOCKOUT; left > 0; left -= 1) life.fail();
  if (life.chance(20)) {
    life.bePresent();
    life.try(() => life.run(raw.rawCommand('SetTempDeactivated', 0)));
  }
  if (!life.chance(4)) life.try(() => life.run(commands.saveState()));
  else life.forgetVolatile();
}
