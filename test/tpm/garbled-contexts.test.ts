/**
 * A garbled context: what it holds is parsed before it is proven, and so every block of
 * it that decrypts to something else is refused for a reason of its own, the same here and by swtpm.
 */

import { swtpm } from '../../lab/peers/swtpm.js';
import { Mirror } from '../../lab/reference/mirror.js';
import { entropy } from '../../lab/reference/rig.js';
import { owned } from '../../lab/reference/states.js';
import { SIGNING_DER } from '../../lab/scenarios/keys-common.js';
import {
  authorised,
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  RESOURCE,
  raw,
  STARTUP,
  Tpm12Client,
} from '../../src/guest/index.js';
import { peerTest } from '../_peers.js';

const { byte, rawCommand } = raw;
const SRK = new Uint8Array(20);
const KEY = new Uint8Array(20).fill(0x4b);
const BLOCK = 16;
/** Before the ciphertext: size, tag, type, handle, label, count, digest, and two counts. */
const HEAD_BYTES = 4 + 2 + 4 + 4 + 16 + 4 + 20 + 4 + 4;

peerTest('every garbled block of a context is refused for the same reason', ['swtpm'], t => {
  const mirror = new Mirror(swtpm(t, owned()));
  const client = new Tpm12Client(mirror.transmit, entropy);
  client.run(commands.startup(STARTUP.CLEAR));
  const session = client.openOsap(ENTITY.KEYHANDLE, HANDLE.SRK, SRK);
  const wrap = raw.createWrapKey(HANDLE.SRK, encryptAuth(session, KEY), KEY, SIGNING_DER);
  const nonceOdd = client.nonce();
  const wrapped = client.exchange(authorised(wrap, { session, secret: SRK, nonceOdd })).value;
  const handle = client.authorise(raw.loadKey2(HANDLE.SRK, wrapped), SRK);
  const bound = client.openOsap(ENTITY.KEYHANDLE, handle, KEY);
  const save = (of: number, type: number): Uint8Array =>
    client.run(rawCommand('SaveContext', 1, of, type, KEY.slice(0, BLOCK)));
  const results = new Set<number>();
  for (const [blob, name] of [
    [save(handle, RESOURCE.KEY), 'LoadKeyContext'],
    [save(bound.handle, RESOURCE.AUTH), 'LoadAuthContext'],
  ] as const) {
    for (let at = HEAD_BYTES; at < blob.length; at += BLOCK) {
      const garbled = blob.with(at + 3, blob[at + 3]! ^ 0x40);
      for (const command of [
        rawCommand('LoadContext', 1, handle, byte(0), garbled),
        rawCommand(name, 0, garbled),
      ]) {
        const error = t.throws(() => client.run(command), { code: 'RESULT' });
        results.add((error as unknown as { result: number }).result);
      }
    }
  }
  t.deepEqual(mirror.differences, []);
  t.true(results.size >= 3, `${results.size} reasons`);
});
