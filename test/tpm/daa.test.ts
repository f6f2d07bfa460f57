/**
 * Direct anonymous attestation: an issuer, a host and a verifier that check every equation of the
 * protocol, in front of swtpm 0.7.1 and of this engine at once. What swtpm drew in secret is given
 * to ours, so that both must say the same to the last byte, and keep the same.
 */
import type { ExecutionContext } from 'ava';
import { commands, HANDLE, STARTUP, Tpm12Client } from '../../src/testing/guest/index.js';
import { peerTest } from '../_peers.js';
import { swtpm } from '../_swtpm.js';
import { daaSign, Issuer, join } from './_daa.js';
import { DaaHost } from './_daa-host.js';
import { Mirror } from './_mirror.js';
import { entropy } from './_rig.js';
import { owned, ownerSecret } from './_states.js';

/** A host before both TPMs. */
function both(t: ExecutionContext) {
  const mirror = new Mirror(swtpm(t, owned()), owned());
  const client = new Tpm12Client(mirror.transmit, entropy);
  client.run(commands.startup(STARTUP.CLEAR));
  const host = new DaaHost(client, ownerSecret());
  const ek = client.ownerReadInternalPub(HANDLE.EK, ownerSecret());
  return { mirror, client, host, ek };
}

peerTest('a TPM joins, and signs', ['swtpm'], t => {
  const { mirror, host, ek } = both(t);
  const issuer = new Issuer();
  const member = host.run('DAA_Join', join(issuer, ek));
  const { pseudonym } = host.run('DAA_Sign', daaSign(issuer, member));
  const again = host.run('DAA_Sign', daaSign(issuer, member));
  const other = host.run('DAA_Sign', daaSign(issuer, member, { label: 'another base' }));
  t.is(again.pseudonym, pseudonym, 'one base, one pseudonym');
  t.not(other.pseudonym, pseudonym);
  mirror.compareStates();
  t.deepEqual(mirror.differences, []);
});
