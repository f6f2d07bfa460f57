/** The guest's client against swtpm: what it asks works there, and its secrets mean something. */
import { createHash, randomBytes } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { hex, toHex } from '../../lab/files.js';
import { type Swtpm, swtpm, unwrapState, wrapState } from '../../lab/peers/swtpm.js';
import {
  authorised,
  CAP,
  commands,
  ENTITY,
  HANDLE,
  NV_PER,
  nvPublic,
  PROPERTY,
  RESULT,
  STARTUP,
  secretOf,
  Tpm12Client,
  TpmResponseError,
} from '../../src/guest/index.js';
import { peerTest } from '../_peers.js';

const entropy = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
const OWNER = secretOf('owner');
const AREA = secretOf('area');
const SRK = new Uint8Array(20);
const INDEX = 0x1100;
const DATA = new TextEncoder().encode('kept');

function started(tpm: Swtpm): Tpm12Client {
  const client = new Tpm12Client(tpm.transmit, entropy);
  client.run(commands.startup(STARTUP.CLEAR));
  return client;
}

/** A TPM with an EK and an owner. */
function owned(t: ExecutionContext): { tpm: Swtpm; client: Tpm12Client } {
  const tpm = swtpm(t);
  const client = started(tpm);
  client.createEndorsementKeyPair();
  client.takeOwnership(OWNER, SRK);
  return { tpm, client };
}

const sha1Of = (...parts: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(createHash('sha1').update(Buffer.concat(parts)).digest());

/** That `act` is refused, and with which result. */
function refused(t: ExecutionContext, result: number, act: () => unknown): void {
  t.is(t.throws(act, { instanceOf: TpmResponseError })?.result, result);
}

peerTest('a key, an owner and NV data outlive a power cut', ['swtpm'], t => {
  const tpm = swtpm(t);
  const client = started(tpm);
  const ek = client.createEndorsementKeyPair();
  t.deepEqual(client.readPubek(), ek);
  const srk = client.takeOwnership(OWNER, SRK);
  client.nvDefineSpace(nvPublic(INDEX, 4, NV_PER.OWNERWRITE | NV_PER.OWNERREAD), OWNER, SRK);
  client.authorise(commands.nvWriteValue(INDEX, 0, DATA), OWNER);

  tpm.restart();
  client.run(commands.startup(STARTUP.CLEAR));
  t.deepEqual(client.ownerReadInternalPub(HANDLE.EK, OWNER), ek);
  t.deepEqual(client.ownerReadInternalPub(HANDLE.SRK, OWNER).modulus, srk.modulus);
  t.deepEqual(client.authorise(commands.nvReadValue(INDEX, 0, 4), OWNER), DATA);
  refused(t, RESULT.AUTHFAIL, () => client.ownerReadInternalPub(HANDLE.EK, secretOf('other')));
});

peerTest('a session rolls its nonces over many uses, and ends', ['swtpm'], t => {
  const { client } = owned(t);
  for (let session of [client.openOiap(), client.openOsap(ENTITY.OWNER, HANDLE.OWNER, OWNER)]) {
    const readEk = commands.ownerReadInternalPub(HANDLE.EK);
    for (let use = 0; use < 5; use += 1) {
      const auth = { session, secret: OWNER, nonceOdd: client.nonce(), continueSession: true };
      const used = client.exchange(authorised(readEk, auth));
      t.notDeepEqual(used.session?.nonceEven, session.nonceEven);
      session = used.session!;
    }
    client.closeSession(session);
    const auth = { session, secret: OWNER, nonceOdd: client.nonce() };
    refused(t, RESULT.INVALID_AUTHHANDLE, () => client.exchange(authorised(readEk, auth)));
  }
  t.is(toHex(client.run(commands.getCapability(CAP.PROPERTY, PROPERTY.AUTHSESS))), '00000010');
});

peerTest('an NV area has the secret that travelled under XOR', ['swtpm'], t => {
  const { client } = owned(t);
  client.nvDefineSpace(nvPublic(INDEX, 4, NV_PER.AUTHWRITE | NV_PER.AUTHREAD), OWNER, AREA);
  client.authorise(commands.nvWriteValue(INDEX, 0, DATA, true), AREA);
  t.deepEqual(client.authorise(commands.nvReadValue(INDEX, 0, 4, true), AREA), DATA);
  refused(t, RESULT.AUTHFAIL, () =>
    client.authorise(commands.nvReadValue(INDEX, 0, 4, true), OWNER),
  );
});

peerTest('an answer that was changed on its way is not trusted', ['swtpm'], t => {
  const { tpm } = owned(t);
  const client = new Tpm12Client(request => {
    const response = tpm.transmit(request);
    if (request[9] === 0x81) response[60]! ^= 1;
    return response;
  }, entropy);
  t.throws(() => client.ownerReadInternalPub(HANDLE.EK, OWNER), {
    code: 'RESPONSE_AUTH',
  });
});

peerTest('a state that swtpm stored starts another swtpm, with the same key', ['swtpm'], t => {
  const { tpm, client } = owned(t);
  const ek = client.ownerReadInternalPub(HANDLE.EK, OWNER);
  const second = started(swtpm(t, tpm.permall()));
  t.deepEqual(second.ownerReadInternalPub(HANDLE.EK, OWNER), ek);
});

peerTest('localities and a measured launch reach swtpm', ['swtpm'], t => {
  const tpm = swtpm(t);
  const client = started(tpm);
  refused(t, RESULT.BAD_LOCALITY, () => client.run(commands.extend(20, SRK)));
  tpm.setLocality(2);
  t.notThrows(() => client.run(commands.extend(20, SRK)));
  tpm.setLocality(0);
  t.false(tpm.established());
  tpm.hash(DATA);
  t.true(tpm.established());
  // PCR 17 is SHA-1 of 20 zeros and SHA-1("kept").
  t.is(toHex(client.run(commands.pcrRead(17))), toHex(sha1Of(SRK, sha1Of(DATA))));
});

// 10 bytes of header (version 2, readable by 1, no flags, total length), then tag and length.
test('a state file of swtpm is 16 bytes and the blob', t => {
  const blob = hex('a1b2c3');
  const file = wrapState(blob);
  t.is(toHex(file), '0201000a0000000000130001' + '00000003' + 'a1b2c3');
  t.deepEqual(unwrapState(file), blob);
});
