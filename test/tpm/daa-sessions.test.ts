/** DAA sessions at their places, and that nothing of a session is left when it ends. */
import test from 'ava';
import { entropy } from '../../lab/reference/rig.js';
import { owned } from '../../lab/reference/states.js';
import { openDaa, sealDaa } from '../../src/tpm/tpm12/daa/daa-blob.js';
import { LIMITS } from '../../src/tpm/tpm12/limits.js';
import { freshDaa } from '../../src/tpm/tpm12/state/daa-session.js';
import { decodePermall } from '../../src/tpm/tpm12/state/permall.js';
import { daaSlots } from '../../src/tpm/tpm12/state/places.js';
import { endAllSessions, freshStclear } from '../../src/tpm/tpm12/state/state.js';
import { DaaResource } from '../../src/tpm/tpm12/structures/daa-issuer.js';

/** A session in which every secret is there. */
function full() {
  const session = freshDaa();
  const { context, join, specific } = session;
  const secrets = [join.u0, join.u1, context.contextSeed, context.scratch, context.digest];
  for (const secret of [...secrets, specific.rekey]) secret.fill(0xa5);
  return { session, secrets: [...secrets, specific.rekey] };
}

const isWiped = (secrets: readonly Uint8Array[]): boolean =>
  secrets.every(secret => secret.every(byte => byte === 0));

test('the secrets of a session that ends are overwritten', t => {
  const slots = daaSlots();
  const { session, secrets } = full();
  const { handle } = slots.add(session, entropy);
  t.false(isWiped(secrets), 'a session that is held keeps them');
  t.true(slots.remove(handle));
  t.true(isWiped(secrets));
  t.false(slots.remove(handle));
  t.is(slots.find(handle), undefined);
});

test('and those of all sessions, where the TPM ends them at once', t => {
  const stclear = freshStclear();
  const both = [full(), full()];
  for (const { session } of both) stclear.daaSessions.add(session, entropy);
  endAllSessions(stclear);
  t.true(both.every(({ secrets }) => isWiped(secrets)));
});

test('there are as many places as libtpms has', t => {
  t.is(LIMITS.daaSessions, 2);
  const slots = daaSlots();
  const first = slots.add(freshDaa(), entropy);
  slots.add(freshDaa(), entropy);
  t.throws(() => slots.add(freshDaa(), entropy), { message: 'TPM_RESOURCES' });
  slots.remove(first.handle);
  const wanted = { handle: first.handle, keep: true };
  t.is(slots.add(freshDaa(), entropy, wanted).handle, first.handle, 'a free handle is kept');
  t.is(slots.places[0]?.handle, first.handle, 'at the place that was free');
});

test('a blob is opened as what it was sealed as, even where its bytes would do', t => {
  const { data } = decodePermall(owned());
  const held = Uint8Array.of(0, 0x32, 1, 2, 3);
  const sealed = sealDaa(data, DaaResource.V0, held);
  t.deepEqual(openDaa(data, DaaResource.V0, sealed), held);
  t.throws(() => openDaa(data, DaaResource.TPM, sealed), { message: 'TPM_DAA_INPUT_DATA0' });
});
