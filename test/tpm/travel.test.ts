/**
 * A state travels: what one of the two, this engine and libtpms, has stored opens in both, and both
 * answer everything the same and write the same back. scripts/travel-tpm12.ts does it for longer.
 * @long
 */
import type { ExecutionContext } from 'ava';
import { swtpm } from '../../lab/peers/swtpm.js';
import { owned } from '../../lab/reference/states.js';
import { Life } from '../../lab/travel/life.js';
import { live } from '../../lab/travel/lives.js';
import { born, type Origin, travel } from '../../lab/travel/proof.js';
import { ours, type Subject, theirs } from '../../lab/travel/subject.js';
import { commands, STARTUP } from '../../src/guest/index.js';
import { systemClock as clock } from '../../src/system.js';
import { peerTest } from '../_peers.js';

const LIVES = 4;

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

/** The twelfth wrong secret locks a TPM for 64 seconds, if each one before was waited out. */
const FAILURES = 12;
const WAIT_US = 100_000_000;
const LOCKED = { code: 'RESULT', message: /TPM_DEFEND_LOCK_RUNNING/ };

peerTest('a lockout goes on wherever a saved state goes', ['swtpm'], t => {
  const tpm = swtpm(t);
  let left = FAILURES;
  const life = new Life(
    ours({ permall: owned() }, () => clock() - left * WAIT_US),
    1,
    'owned',
  );
  while (left > 0) {
    left -= 1;
    life.fail();
  }
  const goOn = (subject: Subject): void => {
    life.moveTo(subject);
    life.run(commands.startup(STARTUP.STATE));
    t.throws(() => life.run(commands.getCapabilityOwner(), [life.owner!]), LOCKED);
  };
  life.run(commands.saveState());
  const there = theirs(tpm, life.states());
  goOn(there);
  life.run(commands.saveState());
  goOn(ours(there.states()));
});
