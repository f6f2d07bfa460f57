/**
 * What lasts, what does not, and what is stored when: a TPM of ours over power cycles and failing
 * stores. Which commands store, and how a TPM fails, is as observed of libtpms 0.9.2.
 */
import test from 'ava';
import { hex, toHex } from '../../lab/files.js';
import { MemoryNvram } from '../../lab/reference/memory-nvram.js';
import { Rig } from '../../lab/reference/rig.js';
import { endorsed, fixedKey } from '../../lab/reference/states.js';
import {
  authorised,
  CAP,
  commands,
  HANDLE,
  NV_INDEX,
  NV_PER,
  nvPublic,
  PROPERTY,
  STARTUP,
  secretOf,
} from '../../src/guest/index.js';
import { StoreFailure } from '../../src/tpm/engine.js';
import { decodePermall } from '../../src/tpm/tpm12/state/permall.js';

const OWNER = secretOf('the owner');
const SRK = secretOf('the storage root key');
const AREA = secretOf('the area');
const INDEX = 0x0000_1100;
const area = nvPublic(INDEX, 4, NV_PER.OWNERREAD | NV_PER.OWNERWRITE);
const free = nvPublic(INDEX, 4, NV_PER.PPWRITE);

const options = { generateKey: fixedKey };

/** A rig on swtpm's state with an Endorsement Key, and an owner if asked for. */
function rig(owner: 'unowned' | 'owned'): Rig {
  const nvram = new MemoryNvram();
  nvram.blobs.set('permall', endorsed());
  const made = new Rig(nvram, options).start();
  if (owner === 'owned') made.client.takeOwnership(OWNER, SRK);
  nvram.log.length = 0;
  return made;
}

const GET_TEST_RESULT = hex('00c10000000a00000054');
const OIAP = hex('00c10000000a0000000a');
const failing = (response: Uint8Array): string => toHex(response.slice(6, 10));

test('the Endorsement Key and the owner survive a power cut', t => {
  const made = rig('owned');
  const ek = made.client.ownerReadInternalPub(HANDLE.EK, OWNER);
  const srk = made.client.ownerReadInternalPub(HANDLE.SRK, OWNER);
  const { client, tpm } = new Rig(made.nvram, options).start();
  t.deepEqual(client.ownerReadInternalPub(HANDLE.EK, OWNER), ek);
  t.deepEqual(client.ownerReadInternalPub(HANDLE.SRK, OWNER), srk);
  t.throws(() => client.ownerReadInternalPub(HANDLE.EK, SRK), { message: /AUTHFAIL/ });
  const info = tpm.info();
  t.deepEqual([info.owned, info.enabled, info.activated], [true, true, true]);
  t.deepEqual(info.ek, ek.modulus);
});

test('PCRs and sessions do not survive a power cut', t => {
  const made = rig('unowned');
  made.client.run(commands.extend(7, new Uint8Array(20).fill(7)));
  const session = made.client.openOiap();
  made.powerCycle();
  t.deepEqual(made.client.run(commands.pcrRead(7)), new Uint8Array(20));
  t.throws(() => made.client.closeSession(session), { message: /INVALID_AUTHHANDLE/ });
});

test('what is stored, and what is not', t => {
  const made = rig('owned');
  const { client, nvram } = made;
  const stores = (act: () => void): string[] => {
    nvram.log.length = 0;
    act();
    return [...nvram.log];
  };
  const ONCE = ['store permall'];
  t.deepEqual(
    stores(() => client.nvDefineSpace(area, OWNER, AREA)),
    ONCE,
  );
  const write = commands.nvWriteValue(INDEX, 0, hex('01020304'));
  t.deepEqual(
    stores(() => client.authorise(write, OWNER)),
    ONCE,
  );
  t.deepEqual(
    stores(() => client.authorise(write, OWNER)),
    [],
    'the same data',
  );
  t.deepEqual(
    stores(() => client.authorise(commands.nvReadValue(INDEX, 0, 4), OWNER)),
    [],
  );
  t.deepEqual(
    stores(() => client.run(commands.extend(1, new Uint8Array(20)))),
    [],
  );
  t.deepEqual(
    stores(() => client.run(commands.saveState())),
    ['store savestate'],
  );
  t.deepEqual(
    stores(() => client.run(commands.pcrRead(1))),
    ['delete savestate'],
  );
});

test('the first audited command after a start stores once more, for its counter', t => {
  const made = rig('owned').powerCycle().bePresent();
  const { client, nvram } = made;
  const count = (): number => decodePermall(nvram.permall).data.auditMonotonicCounter.value.counter;
  const before = count();
  nvram.log.length = 0;
  client.run(commands.physicalEnable());
  t.is(count(), before + 1);
  t.deepEqual(nvram.log, ['store permall'], 'the TPM was enabled already');
  client.run(commands.physicalEnable());
  t.deepEqual(nvram.log, ['store permall']);
});

test('64 writes without the owner, and no more', t => {
  const nvram = new MemoryNvram();
  const { client } = new Rig(nvram, options).start();
  client.run(commands.nvDefineSpace(free, new Uint8Array(20)));
  for (let write = 2; write <= 64; write += 1) {
    client.run(commands.nvWriteValue(INDEX, 0, Uint8Array.of(0, 0, 0, write)));
  }
  const more = commands.nvWriteValue(INDEX, 0, hex('ffffffff'));
  t.throws(() => client.run(more), { message: /MAXNVWRITES/ });
  t.is(decodePermall(nvram.permall).data.noOwnerNVWrite, 64);
});

test('a store that fails is TPM_FAIL, and the old state stays', t => {
  const made = rig('unowned');
  const ek = made.client.readPubek();
  const before = made.nvram.permall;
  made.nvram.storesFail = true;
  t.throws(() => made.client.takeOwnership(OWNER, SRK), { message: /TPM_FAIL\b/ });
  t.is(failing(made.transmit(OIAP)), '0000001c');
  t.is(failing(made.transmit(GET_TEST_RESULT)), '00000000');
  made.nvram.storesFail = false;
  t.is(failing(made.transmit(OIAP)), '0000001c', 'only power brings it back');
  t.deepEqual(made.nvram.permall, before);
  made.powerCycle();
  t.deepEqual(made.client.readPubek(), ek);
  t.notThrows(() => made.client.takeOwnership(OWNER, SRK));
});

test('a new TPM that cannot be stored is no TPM', t => {
  const nvram = new MemoryNvram();
  nvram.storesFail = true;
  t.throws(() => new Rig(nvram), { instanceOf: StoreFailure });
});

test('a state that cannot be loaded is not replaced by a new one', t => {
  const nvram = new MemoryNvram();
  nvram.loadsFail = true;
  t.throws(() => new Rig(nvram), { instanceOf: StoreFailure });
  t.deepEqual(nvram.log, []);
});

test('a command that fails after it altered something takes it back', t => {
  const made = rig('owned');
  const { client, nvram } = made;
  client.nvDefineSpace(area, OWNER, AREA);
  client.authorise(commands.nvWriteValue(INDEX, 0, hex('01020304')), OWNER);
  const stored = nvram.permall;
  // The old index is gone from memory when the permissions of the new one are found to conflict.
  const conflict = nvPublic(INDEX, 4, NV_PER.OWNERWRITE | NV_PER.AUTHWRITE);
  t.throws(() => client.nvDefineSpace(conflict, OWNER, AREA), { message: /AUTH_CONFLICT/ });
  t.deepEqual(nvram.permall, stored);
  const data = client.authorise(commands.nvReadValue(INDEX, 0, 4), OWNER);
  t.deepEqual(data, hex('01020304'));
});

test('what cannot be taken back is a failure', t => {
  const made = rig('owned');
  made.client.nvDefineSpace(area, OWNER, AREA);
  const conflict = nvPublic(INDEX, 4, NV_PER.OWNERWRITE | NV_PER.AUTHWRITE);
  made.nvram.loadsFail = true;
  t.throws(() => made.client.nvDefineSpace(conflict, OWNER, AREA), { message: /TPM_FAIL\b/ });
  t.is(failing(made.transmit(OIAP)), '0000001c');
});

test('what locks an index until the next start is not lost when a command is taken back', t => {
  const made = rig('owned');
  const { client } = made;
  const locks = NV_PER.WRITE_STCLEAR + NV_PER.READ_STCLEAR;
  const locking = nvPublic(INDEX + 1, 4, NV_PER.OWNERREAD + NV_PER.OWNERWRITE + locks);
  client.run(commands.nvDefineSpace(nvPublic(NV_INDEX.LOCK, 0, 0), new Uint8Array(20)));
  client.nvDefineSpace(locking, OWNER, AREA);
  client.nvDefineSpace(area, OWNER, AREA);
  const write = (data: string) =>
    client.authorise(commands.nvWriteValue(INDEX + 1, 0, hex(data)), OWNER);
  const read = (size: number) => client.authorise(commands.nvReadValue(INDEX + 1, 0, size), OWNER);
  const conflict = nvPublic(INDEX, 4, NV_PER.OWNERWRITE | NV_PER.AUTHWRITE);
  const takenBack = () =>
    t.throws(() => client.nvDefineSpace(conflict, OWNER, AREA), { message: /AUTH_CONFLICT/ });
  write('');
  read(0);
  takenBack();
  t.throws(() => write('01'), { message: /AREA_LOCKED/ });
  t.throws(() => read(1), { message: /DISABLED_CMD/ });
  // The stored state remembers the lock on writing, which the start undid.
  made.powerCycle();
  takenBack();
  t.notThrows(() => write('01'));
});

test('an OSAP session to one index opens no other', t => {
  const made = rig('owned');
  const { client } = made;
  const own = NV_PER.AUTHREAD | NV_PER.AUTHWRITE;
  client.nvDefineSpace(nvPublic(INDEX, 4, own), OWNER, AREA);
  client.nvDefineSpace(nvPublic(INDEX + 1, 4, own), OWNER, SRK);
  const ET_NV = 0x000b;
  const read = (index: number): void => {
    const session = client.openOsap(ET_NV, INDEX, AREA);
    const command = commands.nvReadValue(index, 0, 4, true);
    client.exchange(authorised(command, { session, secret: AREA, nonceOdd: client.nonce() }));
  };
  t.notThrows(() => read(INDEX));
  t.throws(() => read(INDEX + 1), { message: /AUTHFAIL/ });
});

test('wrong secrets lock the TPM out for a while, twice as long each time', t => {
  const made = rig('owned');
  const { client } = made;
  const guess = (): void => void client.ownerReadInternalPub(HANDLE.EK, SRK);
  // Five failures are forgiven (TPM_LOCKOUT_THRESHOLD of libtpms); the sixth starts a second of wait.
  for (let failure = 1; failure <= 6; failure += 1) t.throws(guess, { message: /AUTHFAIL/ });
  t.throws(guess, { message: /DEFEND_LOCK_RUNNING/ });
  made.now += 1_000_000;
  t.throws(guess, { message: /AUTHFAIL/ });
  made.now += 1_000_000;
  t.throws(guess, { message: /DEFEND_LOCK_RUNNING/ });
  made.now += 1_000_000;
  t.notThrows(() => client.ownerReadInternalPub(HANDLE.EK, OWNER));
});

test('a state that was saved comes back, once', t => {
  const made = rig('owned').bePresent();
  const { client, tpm, nvram } = made;
  client.run(commands.extend(7, new Uint8Array(20).fill(7)));
  const pcr = client.run(commands.pcrRead(7));
  client.run(commands.saveState());
  tpm.init(nvram);
  client.run(commands.startup(STARTUP.STATE));
  t.deepEqual(client.run(commands.pcrRead(7)), pcr);
  t.is(nvram.blobs.has('savestate'), false);
});

test('what locks an index until the next start outlasts a sleep, and no start', t => {
  const made = rig('owned');
  const { client, tpm, nvram } = made;
  client.run(commands.nvDefineSpace(nvPublic(NV_INDEX.LOCK, 0, 0), new Uint8Array(20)));
  const locking = NV_PER.OWNERREAD + NV_PER.OWNERWRITE + NV_PER.READ_STCLEAR;
  client.nvDefineSpace(nvPublic(INDEX, 4, locking), OWNER, AREA);
  const read = (size: number) => client.authorise(commands.nvReadValue(INDEX, 0, size), OWNER);
  read(0);
  client.run(commands.saveState());
  tpm.init(nvram);
  client.run(commands.startup(STARTUP.STATE));
  t.throws(() => read(1), { message: /DISABLED_CMD/ });
  made.powerCycle();
  t.deepEqual(read(1), hex('ff'));
});

test('a saved state that was damaged is a failure, not a start', t => {
  const made = rig('owned');
  const { client, tpm, nvram } = made;
  client.run(commands.saveState());
  const blob = nvram.blobs.get('savestate')!;
  for (let at = 0; at < blob.length; at += 13) {
    nvram.blobs.set('savestate', blob.with(at, blob[at]! ^ 1));
    tpm.init(nvram);
    t.throws(() => client.run(commands.startup(STARTUP.STATE)), { message: /FAILEDSELFTEST/ });
  }
});

test('the hash sequence of locality 4 starts PCR 17 and establishes', t => {
  const made = rig('unowned');
  const { tpm, client, nvram } = made;
  t.false(tpm.established());
  tpm.hashStart();
  tpm.hashData(new TextEncoder().encode('ab'));
  tpm.hashData(new TextEncoder().encode('c'));
  tpm.hashEnd();
  t.true(tpm.established());
  t.deepEqual(nvram.log, ['store permall']);
  // SHA-1(20 zeros || SHA-1("abc")), by sha1sum.
  t.is(toHex(client.run(commands.pcrRead(17))), PCR17_OF_ABC);
  made.powerCycle();
  t.true(tpm.established());
});
const PCR17_OF_ABC = 'ccd5bd41458de644ac34a2478b58ff819bef5acf';

test('properties tell how many sessions are left', t => {
  const { client } = rig('owned');
  const left = (): string =>
    toHex(client.run(commands.getCapability(CAP.PROPERTY, PROPERTY.AUTHSESS)));
  t.is(left(), '00000010');
  client.openOiap();
  t.is(left(), '0000000f');
});
