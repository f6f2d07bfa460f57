/**
 * A state travels: what one of the two, this engine and libtpms, has stored opens in both, and both
 * answer everything the same and write the same back. scripts/travel-tpm12.ts does it for longer.
 */
import type { ExecutionContext } from 'ava';
import { commands, STARTUP } from '../../src/testing/guest/index.js';
import { peerTest } from '../_peers.js';
import { swtpm } from '../_swtpm.js';
import { owned } from './_states.js';
import { Life } from './travel/_life.js';
import { live } from './travel/_lives.js';
import { born, type Origin, travel } from './travel/_proof.js';

const LIVES = 5;

const journeys =
  (origin: Origin) =>
  (t: ExecutionContext): void => {
    const tpm = swtpm(t);
    for (let seed = 1; seed <= LIVES; seed += 1) {
      const { differences, commands: count } = travel(live(born(origin, tpm), seed), tpm);
      t.deepEqual(differences, [], `seed ${seed}`);
      t.true(count > 100, `seed ${seed}: ${count} commands`);
    }
  };

peerTest('states of ours travel to swtpm, and on', ['swtpm'], journeys('ours'));
peerTest('states of swtpm travel to ours, and on', ['swtpm'], journeys('theirs'));

/** As many wrong secrets as lock the TPM for 64 seconds. */
const FAILURES = 12;
const LOCKED = { code: 'ERR_TPM_RESULT', message: /TPM_DEFEND_LOCK_RUNNING/ };

for (const [from, to] of [
  ['ours', 'theirs'],
  ['theirs', 'ours'],
] as const) {
  peerTest(`a lockout goes on: ${from}, then ${to}`, ['swtpm'], t => {
    const tpm = swtpm(t);
    const life = new Life(born(from, tpm)({ permall: owned() }), 1, 'owned');
    for (let count = 0; count < FAILURES; count += 1) life.fail();
    life.run(commands.saveState());
    life.moveTo(born(to, tpm)(life.states()));
    life.run(commands.startup(STARTUP.STATE));
    t.throws(() => life.run(commands.getCapabilityOwner(), [life.owner!]), LOCKED);
  });
}
