/**
 * Guests at random, in front of swtpm 0.7.1 and of this engine at once: the same bytes in every
 * response, and in the end the same permanent state. scripts/diff-tpm12.ts runs it for longer.
 * @long
 */

import { guestOf } from '../../lab/guests/families.js';
import { swtpm } from '../../lab/peers/swtpm.js';
import { Mirror } from '../../lab/reference/mirror.js';
import { owned } from '../../lab/reference/states.js';
import { peerTest } from '../_peers.js';

const SEEDS = [1, 2, 3, 4];
const STEPS = 50;
/** A guest does only a part of everything in so many steps. */
const ORDINALS_MIN = 30;

for (const seed of SEEDS) {
  const fresh = seed % 2 === 0;
  const what = fresh ? 'that never had an owner' : 'that has an owner';
  peerTest(`two TPMs, one guest: seed ${seed}, a TPM ${what}`, ['swtpm'], t => {
    const mirror = new Mirror(swtpm(t, fresh ? undefined : owned()));
    const guest = guestOf(mirror, seed);
    for (let step = 0; step < STEPS; step += 1) guest.step();
    mirror.compareStates();
    t.deepEqual(mirror.differences, []);
    t.true(mirror.met.size > ORDINALS_MIN, `${mirror.met.size} ordinals were met`);
  });
}
