/**
 * Direct anonymous attestation: an issuer, a host and a verifier that check every equation of the
 * protocol, in front of swtpm 0.7.1 and of this engine at once. What swtpm drew in secret is given
 * to ours, so that both must say the same to the last byte, and keep the same.
 * @long
 */
import type { ExecutionContext } from 'ava';
import { type Dialogue, daaSign, goOn, Issuer, join, NotProven } from '../../lab/reference/daa.js';
import { hostOfBoth, resultOf } from '../../lab/reference/daa-host.js';
import { ownerSecret } from '../../lab/reference/states.js';
import {
  authorisedBy,
  CAP,
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  key11,
  RESOURCE,
  RSA_2048,
  raw,
  SRK_TEMPLATE,
  STARTUP,
  type Tpm12Client,
} from '../../src/guest/index.js';
import { decode, encode, Reader, u32 } from '../../src/wire/codec.js';
import { peerTest } from '../_peers.js';
import { sharedSwtpm } from '../_swtpm.js';

const theirs = sharedSwtpm();

const PEERS = ['swtpm'];
const { byte, counted, rawCommand } = raw;
const KEY = new Uint8Array(20).fill(0x4b);
const SRK = new Uint8Array(20);
const LABEL = new Uint8Array(16);
const issuer = new Issuer();

/** Nothing may have come out otherwise, and both must have stored the same. */
function same(t: ExecutionContext, { mirror }: ReturnType<typeof hostOfBoth>): void {
  mirror.compareStates();
  t.deepEqual(mirror.differences, []);
}

/** The handles of the DAA sessions that there are. */
function sessions(client: Tpm12Client): number[] {
  const told = new Reader(client.run(commands.getCapability(CAP.HANDLE, RESOURCE.DAA)));
  return Array.from({ length: told.uint(2) }, () => told.uint(4));
}

peerTest('a TPM joins, and signs', PEERS, t => {
  const both = hostOfBoth(theirs());
  const { host, client, ek } = both;
  const member = host.run('DAA_Join', join(issuer, ek));
  const { pseudonym } = host.run('DAA_Sign', daaSign(issuer, member));
  const again = host.run('DAA_Sign', daaSign(issuer, member, { message: { digest: KEY } }));
  const other = host.run('DAA_Sign', daaSign(issuer, member, { w: issuer.base('another') }));
  t.is(again.pseudonym, pseudonym, 'one base, one pseudonym');
  t.not(other.pseudonym, pseudonym);
  t.deepEqual(sessions(client), [], 'a session ends with its last stage');
  const anew = host.run('DAA_Join', join(issuer, ek, { count: 8 }));
  const renewed = host.run('DAA_Sign', daaSign(issuer, anew));
  t.not(renewed.pseudonym, pseudonym, 'another count, another secret');
  same(t, both);
});

peerTest('a host with another credential is refused', PEERS, t => {
  const both = hostOfBoth(theirs());
  const { host, ek } = both;
  const member = host.run('DAA_Join', join(issuer, ek));
  const other = host.run('DAA_Join', join(issuer, ek, { count: 8 }));
  const mixed = { ...member, a: other.a };
  t.throws(() => host.run('DAA_Sign', daaSign(issuer, mixed)), { instanceOf: NotProven });
  same(t, both);
});

/** An identity key, loaded. */
function identity(client: Tpm12Client): { handle: number; modulus: Uint8Array } {
  const template = {
    ...SRK_TEMPLATE,
    keyUsage: 0x12,
    algorithmParms: { ...RSA_2048, encScheme: 1, sigScheme: 2 },
  };
  const owner = client.openOsap(ENTITY.OWNER, HANDLE.OWNER, ownerSecret());
  const hidden = encryptAuth(owner, KEY);
  const command = rawCommand('MakeIdentity', 0, hidden, KEY, encode(key11, template));
  const made = client.exchange(
    authorisedBy(command, [
      { session: client.openOiap(), secret: SRK, nonceOdd: client.nonce() },
      { session: owner, secret: KEY, nonceOdd: client.nonce() },
    ]),
  ).value;
  const wrapped = made.slice(0, -260);
  const handle = client.authorise(raw.loadKey2(HANDLE.SRK, wrapped), SRK);
  return { handle, modulus: decode(key11, wrapped).modulus };
}

peerTest('it signs an identity key that it has', PEERS, t => {
  const both = hostOfBoth(theirs());
  const { host, client, ek } = both;
  const message = identity(client);
  const member = host.run('DAA_Join', join(issuer, ek));
  t.notThrows(() => host.run('DAA_Sign', daaSign(issuer, member, { message })));
  for (const handle of [HANDLE.SRK, HANDLE.EK, 0x1234]) {
    const sign = daaSign(issuer, member, { message: { ...message, handle } });
    t.is(
      resultOf(() => host.run('DAA_Sign', sign)),
      'TPM_DAA_INPUT_DATA1',
    );
  }
  same(t, both);
});

for (const [name, stages] of [
  ['DAA_Join', [1, 3, 4, 9, 16, 20, 22, 24]],
  ['DAA_Sign', [1, 2, 5, 9, 13, 15]],
] as const) {
  for (const way of ['a saved state', 'a context', 'another place']) {
    peerTest(`a session goes on after it was away, ${name}, ${way}`, PEERS, t => {
      const both = hostOfBoth(theirs());
      const { host, mirror, client, ek } = both;
      const member = host.run('DAA_Join', join(issuer, ek));
      for (const stage of stages) {
        const dialogue = name === 'DAA_Join' ? join(issuer, ek) : daaSign(issuer, member);
        const input = host.runUntil(name, dialogue, stage);
        if (way === 'a saved state') {
          client.run(commands.saveState());
          mirror.compareStates();
          mirror.powerCut();
          client.run(commands.startup(STARTUP.STATE));
          t.deepEqual(sessions(client), [host.handle]);
        } else {
          const save = rawCommand('SaveContext', 1, host.handle, RESOURCE.DAA, LABEL);
          const context = client.run(save);
          t.deepEqual(sessions(client), [], 'it left');
          const load = rawCommand('LoadContext', 1, 0, byte(1), context);
          if (way === 'another place') host.send('DAA_Join', OPEN);
          t.is(new Reader(client.run(load)).uint(4), host.handle);
          t.is(
            resultOf(() => client.run(load)),
            'TPM_BADCONTEXT',
            'it comes back once',
          );
        }
        const first = host.send(name, input);
        const rest: Dialogue<unknown> = goOn<unknown>(dialogue, first);
        t.notThrows(() => host.run(name, rest), `stage ${stage}`);
        for (const handle of sessions(client)) {
          client.run(commands.flushSpecific(handle, RESOURCE.DAA));
        }
      }
      same(t, both);
    });
  }
}

const OPEN = { stage: 0, data0: encode(u32, 1), data1: new Uint8Array() };

peerTest('two sessions at a time, and no third', PEERS, t => {
  const both = hostOfBoth(theirs());
  const { host, client, ek } = both;
  const joins = join(issuer, ek);
  const first = host.runUntil('DAA_Join', joins, 2);
  const { handle } = host;
  const second = host.runUntil('DAA_Join', join(issuer, ek), 2);
  t.is(sessions(client).length, 2);
  t.is(
    resultOf(() => host.send('DAA_Join', OPEN)),
    'TPM_RESOURCES',
  );
  const sign = { ...OPEN, data0: issuer.settings };
  t.is(
    resultOf(() => host.send('DAA_Sign', sign)),
    'TPM_RESOURCES',
  );
  host.send('DAA_Join', second);
  host.send('DAA_Join', first, { handle });
  const save = rawCommand('SaveContext', 1, handle, RESOURCE.DAA, LABEL);
  const context = client.run(save);
  host.send('DAA_Join', OPEN);
  const load = rawCommand('LoadContext', 1, 0, byte(0), context);
  t.is(
    resultOf(() => client.run(load)),
    'TPM_RESOURCES',
  );
  same(t, both);
});

/** What takes the sessions away. */
// biome-ignore format: table
const ENDS: Readonly<Record<string, (client: Tpm12Client) => void>> = {
  'TPM_OwnerClear':   client => client.authorise(rawCommand('OwnerClear', 0), ownerSecret()),
  'TPM_FlushSpecific': client => {
    for (const handle of sessions(client)) client.run(commands.flushSpecific(handle, RESOURCE.DAA));
  },
};

for (const [what, end] of Object.entries(ENDS)) {
  peerTest(`sessions end with ${what}`, PEERS, t => {
    const both = hostOfBoth(theirs());
    const { host, client } = both;
    host.send('DAA_Join', OPEN);
    host.send('DAA_Join', OPEN);
    end(client);
    t.deepEqual(sessions(client), []);
    same(t, both);
  });
}

peerTest('TPM_Reset and another start without a saved state', PEERS, t => {
  const both = hostOfBoth(theirs());
  const { host, client, mirror } = both;
  host.send('DAA_Join', OPEN);
  client.run(rawCommand('Reset', 0));
  t.is(sessions(client).length, 1, 'TPM_Reset is of authorisation sessions');
  mirror.powerCut();
  client.run(commands.startup(STARTUP.CLEAR));
  t.deepEqual(sessions(client), []);
  same(t, both);
});

peerTest('blobs are of one TPM, and of its secrets as they are now', PEERS, t => {
  const both = hostOfBoth(theirs());
  const { host, client, ek } = both;
  const member = host.run('DAA_Join', join(issuer, ek));
  const sign = (): string => resultOf(() => host.run('DAA_Sign', daaSign(issuer, member)));
  t.is(sign(), 'TPM_SUCCESS');
  // TPM_SET_PERM_DATA, TPM_PD_DAAPROOF.
  const renew = rawCommand('SetCapability', 0, 2, counted(encode(u32, 25)), counted(LABEL));
  client.authorise(renew, ownerSecret());
  t.is(sign(), 'TPM_DAA_INPUT_DATA0');
  same(t, both);
});

peerTest('any refused command ends the session that it names', PEERS, t => {
  const both = hostOfBoth(theirs());
  const { host, client } = both;
  const params = [byte(1), counted(LABEL), counted(LABEL)];
  const refused: Readonly<Record<string, (handle: number) => unknown>> = {
    'no authorisation': handle => client.run(rawCommand('DAA_Join', 1, handle, ...params)),
    'inputs cut off': handle => client.run(rawCommand('DAA_Sign', 1, handle, byte(1))),
    'a wrong secret': handle =>
      host.send('DAA_Sign', { ...OPEN, stage: 9 }, { handle, secret: KEY }),
  };
  for (const [what, send] of Object.entries(refused)) {
    host.send('DAA_Join', OPEN);
    const [handle] = sessions(client);
    t.not(
      resultOf(() => send(handle!)),
      'TPM_SUCCESS',
    );
    t.deepEqual(sessions(client), [], what);
  }
  host.send('DAA_Join', OPEN);
  const [handle] = sessions(client);
  resultOf(() => client.run(rawCommand('DAA_Join', 1, handle!)));
  resultOf(() => client.run(rawCommand('DAA_Join', 1, handle!, byte(0))));
  t.deepEqual(sessions(client), [handle!], 'no stage but the first was named');
  same(t, both);
});
