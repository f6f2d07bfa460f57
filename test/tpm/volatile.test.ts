/**
 * What a migration carries: a TPM goes on in another instance where it was, or the instance refuses
 * what does not fit.
 */
import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { hex, toHex } from '../../lab/files.js';
import { daaSign, goOn, Issuer, join } from '../../lab/reference/daa.js';
import { DaaHost } from '../../lab/reference/daa-host.js';
import { MemoryNvram } from '../../lab/reference/memory-nvram.js';
import { entropy, Rig } from '../../lab/reference/rig.js';
import { endorsed, fixedKey, owned } from '../../lab/reference/states.js';
import {
  authorised,
  CAP,
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  NV_INDEX,
  NV_PER,
  nvPublic,
  RESOURCE,
  raw,
  SRK_TEMPLATE,
  secretOf,
} from '../../src/guest/index.js';
import { StateError } from '../../src/tpm/engine.js';
import { Tpm12 } from '../../src/tpm/tpm12/tpm12.js';
import { concat, encode, u32 } from '../../src/wire/codec.js';

const OWNER = secretOf('the owner');
const SRK = secretOf('the storage root key');
const AREA = secretOf('the area');
const INDEX = 0x0000_1100;

function source(): Rig {
  const nvram = new MemoryNvram();
  nvram.blobs.set('permall', endorsed());
  const rig = new Rig(nvram, { generateKey: fixedKey }).start().bePresent();
  rig.client.takeOwnership(OWNER, SRK);
  return rig;
}

/** Another instance, on the same blobs, that takes over. Its clock is another. */
function target(rig: Rig, state = rig.tpm.volatileState()): Rig {
  const nvram = new MemoryNvram();
  for (const [name, blob] of rig.nvram.blobs) nvram.blobs.set(name, blob);
  const other = new Rig(nvram, { generateKey: fixedKey });
  other.now = 77_000_000_000;
  other.tpm.restore(nvram, state);
  nvram.log.length = 0;
  return other;
}

test('a TPM goes on where it was: PCRs, flags, an open session, ticks', t => {
  const rig = source();
  rig.client.run(commands.extend(7, new Uint8Array(20).fill(7)));
  rig.client.run(commands.extend(16, new Uint8Array(20).fill(7)));
  const session = rig.client.openOiap();
  const ask = { pcr7: commands.pcrRead(7), pcr16: commands.pcrRead(16) };
  const flags = commands.getCapability(0x04, 0x109);
  const other = target(rig);
  t.deepEqual(other.client.run(ask.pcr7), rig.client.run(ask.pcr7));
  t.deepEqual(other.client.run(ask.pcr16), rig.client.run(ask.pcr16));
  t.deepEqual(other.client.run(flags), rig.client.run(flags));
  const nonceOdd = rig.client.nonce();
  const owner = authorised(commands.ownerReadInternalPub(0x4000_0006), {
    session,
    secret: OWNER,
    nonceOdd,
  });
  t.notThrows(() => other.client.exchange(owner));
  const ticks = hex('00c1 0000000a 000000f1');
  const elapsed = (at: Rig): bigint => Buffer.from(at.transmit(ticks)).readBigUInt64BE(12);
  t.true(elapsed(other) < 1000n, 'the ticks are those of this power cycle');
  t.is(toHex(other.transmit(ticks).slice(22)), toHex(rig.transmit(ticks).slice(22)));
});

test('loaded keys go along, each at its place, and a hash that was begun', t => {
  const rig = source();
  const { client } = rig;
  const session = () => client.openOsap(ENTITY.KEYHANDLE, HANDLE.SRK, SRK);
  const make = (): Uint8Array => {
    const bound = session();
    const template = { ...SRK_TEMPLATE, keyUsage: 0x0011 };
    const command = raw.createWrapKey(HANDLE.SRK, encryptAuth(bound, AREA), AREA, template);
    const auth = { session: bound, secret: SRK, nonceOdd: client.nonce() };
    return client.exchange(authorised(command, auth)).value;
  };
  const wrapped = make();
  const load = () => client.authorise(raw.loadKey2(HANDLE.SRK, wrapped), SRK);
  const [first] = [load(), load(), load()];
  client.run(commands.flushSpecific(first!, RESOURCE.KEY));
  const blocks = raw.rawCommand('SHA1Update', 0, raw.counted(new Uint8Array(64)));
  const end = raw.rawCommand('SHA1Complete', 0, raw.counted(new Uint8Array(3)));
  client.run(raw.rawCommand('SHA1Start', 0));
  client.run(blocks);
  const other = target(rig);
  const expected = new Uint8Array(createHash('sha1').update(new Uint8Array(67)).digest());
  t.deepEqual(other.client.run(end), expected);
  const handles = commands.getCapability(CAP.KEY_HANDLE);
  t.deepEqual(other.client.run(handles), client.run(handles));
  const read = (one: Rig) => Buffer.from(one.client.run(handles)).readUInt16BE();
  t.is(read(other), 2);
});

test('DAA sessions go along, each at its place', t => {
  const rig = source();
  const ek = rig.client.ownerReadInternalPub(HANDLE.EK, OWNER);
  const issuer = new Issuer();
  const handles = commands.getCapability(CAP.HANDLE, RESOURCE.DAA);
  const host = new DaaHost(rig.client, OWNER);
  host.runUntil('DAA_Join', join(issuer, ek), 2);
  const first = host.handle;
  const dialogue = join(issuer, ek);
  const input = host.runUntil('DAA_Join', dialogue, 12);
  rig.client.run(commands.flushSpecific(first, RESOURCE.DAA));
  const other = target(rig);
  t.deepEqual(other.client.run(handles), concat(hex('0001'), encode(u32, host.handle)));
  const there = new DaaHost(other.client, OWNER);
  there.handle = host.handle;
  const member = there.run('DAA_Join', goOn(dialogue, there.send('DAA_Join', input)));
  t.notThrows(() => there.run('DAA_Sign', daaSign(issuer, member)));
});

test('what locks an index until the next start goes along', t => {
  const rig = source();
  const { client } = rig;
  client.run(commands.nvDefineSpace(nvPublic(NV_INDEX.LOCK, 0, 0), new Uint8Array(20)));
  const locking = NV_PER.OWNERREAD | NV_PER.OWNERWRITE | NV_PER.WRITE_STCLEAR;
  client.nvDefineSpace(nvPublic(INDEX, 4, locking), OWNER, AREA);
  client.authorise(commands.nvWriteValue(INDEX, 0, new Uint8Array()), OWNER);
  const write = commands.nvWriteValue(INDEX, 0, hex('01'));
  t.throws(() => target(rig).client.authorise(write, OWNER), { message: /AREA_LOCKED/ });
});

test('a hash sequence goes on where it was', t => {
  const rig = source();
  rig.tpm.hashStart();
  rig.tpm.hashData(new Uint8Array(100).fill(1));
  const other = target(rig);
  for (const { tpm } of [rig, other]) {
    tpm.hashData(new Uint8Array(33).fill(2));
    tpm.hashEnd();
  }
  const pcr17 = commands.pcrRead(17);
  t.deepEqual(other.client.run(pcr17), rig.client.run(pcr17));
  t.notDeepEqual(rig.client.run(pcr17), new Uint8Array(20));
});

test('a TPM in failure mode stays there', t => {
  const rig = source();
  rig.nvram.storesFail = true;
  t.throws(() => rig.client.nvDefineSpace(nvPublic(INDEX, 4, NV_PER.OWNERWRITE), OWNER, AREA));
  t.throws(() => target(rig).client.openOiap(), { message: /FAILEDSELFTEST/ });
});

test('a state saved for sleep is forgotten there too', t => {
  const rig = source();
  rig.client.run(commands.saveState());
  const other = target(rig);
  other.client.run(commands.pcrRead(0));
  t.deepEqual(other.nvram.log, ['delete savestate']);
});

test('the volatile state of another permall is refused', t => {
  const rig = source();
  const state = rig.tpm.volatileState();
  rig.client.nvDefineSpace(nvPublic(INDEX, 4, NV_PER.OWNERWRITE), OWNER, AREA);
  t.throws(() => target(rig, state), {
    instanceOf: StateError,
    message: /it belongs to another permall/,
  });
  rig.nvram.blobs.set('permall', owned());
  t.throws(() => target(rig, state), { message: /it belongs to another permall/ });
});

test('there is nothing to resume without a permall', t => {
  const state = source().tpm.volatileState();
  const tpm = new Tpm12({ entropy, clock: () => 0 });
  const nvram = new MemoryNvram();
  t.throws(() => tpm.restore(nvram, state), { instanceOf: StateError });
  t.deepEqual(nvram.log, [], 'and no new TPM is made');
});

test('what another engine, or a later program, wrote is refused by name', t => {
  const rig = source();
  const state = rig.tpm.volatileState();
  const REVISION_AT = 'nvtpm-tpm12'.length + 1;
  t.throws(() => target(rig, state.with(0, 0x78)), { message: /another engine wrote it/ });
  t.throws(() => target(rig, state.with(REVISION_AT, 2)), {
    code: 'REVISION',
    message: /it has revision 2, and this program knows 1/,
  });
});

test('every flipped, missing or added byte is refused', t => {
  const rig = source();
  rig.client.openOiap();
  const state = rig.tpm.volatileState();
  for (let at = 0; at < state.length; at += 1) {
    const flipped = state.with(at, state[at]! ^ 0x20);
    t.throws(() => target(rig, flipped), { instanceOf: StateError }, `byte ${at}`);
  }
  const damage = fc.oneof(
    fc.nat(state.length - 1).map(length => state.slice(0, length)),
    fc.uint8Array({ minLength: 1, maxLength: 8 }).map(tail => Uint8Array.of(...state, ...tail)),
  );
  const property = fc.property(damage, damaged => {
    t.throws(() => target(rig, damaged), { instanceOf: StateError });
  });
  fc.assert(property, { numRuns: 100 });
});
