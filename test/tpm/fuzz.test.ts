/**
 * The guest is the attacker. Requests that were recorded, mutated at random, in random order; and
 * guests that know every secret and put what is wrong under HMACs that are right: nothing is thrown,
 * every response is well-formed, no guest brings the TPM down, and the permanent state is another
 * only after a command that succeeded.
 */
import test from 'ava';
import fc from 'fast-check';
import { Victim } from '../../lab/guests/attack.js';
import { guestOf } from '../../lab/guests/families.js';
import { mutated, STATES } from '../../lab/guests/mutations.js';
import { owned } from '../../lab/reference/states.js';

test('whatever a guest sends, it gets a response, and nothing breaks', t => {
  const property = fc.property(
    fc.constantFrom(...STATES),
    fc.array(fc.tuple(mutated, fc.nat(4)), { minLength: 1, maxLength: 30 }),
    (permall, sent) => {
      const victim = new Victim(permall).start();
      for (const [request, locality] of sent) {
        victim.locality = locality;
        victim.transmit(request);
      }
    },
  );
  t.notThrows(() => fc.assert(property, { numRuns: 400 }));
});

test('a guest that knows every secret breaks nothing either', t => {
  const through = new Set<number>();
  for (const seed of [1, 2, 3]) {
    const victim = new Victim(owned());
    const guest = guestOf(victim, seed, { spoilsOneIn: 1 });
    t.notThrows(() => {
      for (let step = 0; step < 200; step += 1) guest.step();
    }, `seed ${seed}`);
    for (const ordinal of victim.succeeded.keys()) through.add(ordinal);
  }
  t.true(through.size > 30, `it got through to ${through.size} commands`);
});
