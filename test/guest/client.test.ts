/** The guest's client against swtpm: what it says works there, and its secrets mean something. */
import { randomBytes } from 'node:crypto';
import {
  commands,
  HANDLE,
  NV_PER,
  nvPublic,
  RESULT,
  STARTUP,
  secretOf,
  Tpm12Client,
  TpmResponseError,
} from '../../src/testing/guest/index.js';
import { peerTest } from '../_peers.js';
import { swtpm } from '../_swtpm.js';

const entropy = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
const OWNER = secretOf('owner');
const SRK = new Uint8Array(20);

peerTest('a key, an owner and NV data outlive a power cut of swtpm', ['swtpm'], t => {
  const tpm = swtpm(t);
  const client = new Tpm12Client(tpm.transmit, entropy);
  client.run(commands.startup(STARTUP.CLEAR));
  const ek = client.createEndorsementKeyPair();
  const srk = client.takeOwnership(OWNER, SRK);
  const data = new TextEncoder().encode('kept');
  client.nvDefineSpace(nvPublic(0x1100, 4, NV_PER.OWNERWRITE | NV_PER.OWNERREAD), OWNER, SRK);
  client.authorise(commands.nvWriteValue(0x1100, 0, data), OWNER);

  tpm.restart();
  client.run(commands.startup(STARTUP.CLEAR));
  t.deepEqual(client.ownerReadInternalPub(HANDLE.EK, OWNER), ek);
  t.deepEqual(client.ownerReadInternalPub(HANDLE.SRK, OWNER).modulus, srk.modulus);
  t.deepEqual(client.authorise(commands.nvReadValue(0x1100, 0, 4), OWNER), data);
  const refused = t.throws(() => client.ownerReadInternalPub(HANDLE.EK, secretOf('other')), {
    instanceOf: TpmResponseError,
  });
  t.is(refused?.result, RESULT.AUTHFAIL);
});
