/**
 * Monotonic counters (TPM Main Part 3, §25): eight of them, of which one counts per power cycle.
 * @module
 */
import { bytes, u32 } from '../../../wire/codec.js';
import { wipe } from '../../crypto/secrets.js';
import { terminateEntity } from '../auth/sessions.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { entityOfCounter, findCounter } from '../monotonic.js';
import { demand } from '../results.js';
import { NO_COUNTER, RELEASED_COUNTER } from '../state/state.js';
import { counterValue, noBytes20, secret } from '../structures/basic.js';
import { EntityType } from '../structures/types.js';

/** Makes a counter that starts after every other one. */
export const createCounter = command({
  ordinal: 'CreateCounter',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 4 },
  input: { encAuth: secret, label: bytes(4) },
  output: { countID: u32, counterValue },
  run(call, { encAuth, label }) {
    call.authoriseOwner('OSAP');
    call.endSessions();
    const authData = call.auth.decrypt(encAuth);
    const { counters } = call.state.permanent.data;
    const countID = counters.findIndex(({ valid }) => !valid);
    demand(countID >= 0, 'RESOURCES');
    const counter = (Math.max(...counters.map(({ value }) => value.counter)) + 1) % 2 ** 32;
    counters[countID] = { value: { label, counter }, authData, valid: true };
    call.altered = true;
    return { countID, counterValue: { label, counter } };
  },
});

/** Counts, on the one counter that this power cycle has chosen. */
export const incrementCounter = command({
  ordinal: 'IncrementCounter',
  auth: 'one',
  when: 'owned',
  input: { countID: u32 },
  output: { counterValue },
  run(call, { countID }) {
    const { stclear } = call.state;
    const chosen = stclear.countID === NO_COUNTER || stclear.countID === countID;
    demand(chosen, 'BAD_COUNTER');
    const counter = findCounter(call, countID);
    call.auth.authorise(entityOfCounter(countID, counter));
    stclear.countID = countID;
    counter.value.counter = (counter.value.counter + 1) % 2 ** 32;
    call.altered = true;
    return { counterValue: counter.value };
  },
});

/** Reads a counter. */
export const readCounter = command({
  ordinal: 'ReadCounter',
  auth: 'none',
  when: 'operational',
  input: { countID: u32 },
  output: { counterValue },
  run: (call, { countID }) => ({ counterValue: findCounter(call, countID).value }),
});

/** Lets a counter go, by who knows its secret. */
export const releaseCounter = command({
  ordinal: 'ReleaseCounter',
  auth: 'one',
  when: 'operational',
  input: { countID: u32 },
  run(call, { countID }) {
    call.auth.authorise(entityOfCounter(countID, findCounter(call, countID)));
    release(call, countID);
    return {};
  },
});

/** Lets a counter go, by the owner. */
export const releaseCounterOwner = command({
  ordinal: 'ReleaseCounterOwner',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 3 },
  input: { countID: u32 },
  run(call, { countID }) {
    call.authoriseOwner();
    release(call, countID);
    return {};
  },
});

/** The count stays, so that no later counter can fall behind it. */
function release(call: Call<'one'>, countID: number): void {
  const { stclear } = call.state;
  const counter = findCounter(call, countID);
  const { digest } = entityOfCounter(countID, counter);
  const ended = terminateEntity(stclear.authSessions, EntityType.COUNTER, digest, call.auth.handle);
  if (ended.includes(call.auth.handle)) call.endSessions();
  wipe(counter.authData);
  counter.authData = noBytes20();
  counter.valid = false;
  if (stclear.countID === countID) stclear.countID = RELEASED_COUNTER;
  call.altered = true;
}
