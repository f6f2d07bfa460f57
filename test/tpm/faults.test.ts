/** Limits of the engine, and what is left of its secrets. */
import test from 'ava';
import { toHex } from '../../lab/files.js';
import { handlesOf, wrappedHandlesOf } from '../../lab/guests/handle-bytes.js';
import { MemoryNvram } from '../../lab/reference/memory-nvram.js';
import { Rig } from '../../lab/reference/rig.js';
import { withIndices } from '../../lab/reference/states.js';
import {
  CAP,
  commands,
  frame,
  nvPublic,
  PROPERTY,
  plain,
  resultName,
} from '../../src/guest/index.js';
import { COMMANDS } from '../../src/tpm/tpm12/commands/index.js';
import { TpmFault } from '../../src/tpm/tpm12/results.js';
import { decodePermall, encodePermall } from '../../src/tpm/tpm12/state/permall.js';
import { type Permanent, wipeOwner, wipePermanent } from '../../src/tpm/tpm12/state/permanent.js';
import { msaComposite } from '../../src/tpm/tpm12/structures/cmk-auth.js';
import { keptKey, keyHandleEntry, noKey } from '../../src/tpm/tpm12/structures/key.js';
import { load } from '../../src/tpm/tpm12/structures/parsing.js';
import { concat, encode, u32 } from '../../src/wire/codec.js';

/** INPUT_BUFFER, as libtpms's TPM_GetCapability reports it. */
const INPUT_BUFFER = 4096;

test('a command of more than INPUT_BUFFER bytes is refused, and one of as many is not', t => {
  const { client, tpm } = new Rig(new MemoryNvram()).start();
  const reported = client.run(commands.getCapability(CAP.PROPERTY, PROPERTY.INPUT_BUFFER));
  t.is(Buffer.from(reported).readUInt32BE(), INPUT_BUFFER);
  const stir = (size: number): Uint8Array => {
    const params = new Uint8Array(size - 10);
    new DataView(params.buffer).setUint32(0, size - 14);
    return frame(0x00c1, 0x47, params);
  };
  t.is(toHex(tpm.process(stir(INPUT_BUFFER), 0)), '00c40000000a00000000');
  t.is(toHex(tpm.process(stir(INPUT_BUFFER + 1), 0)), '00c40000000a00000019');
});

const [INDEX, PPWRITE] = [0x1200, 0x0000_0001];

test('a write of more than INPUT_BUFFER bytes alters nothing', t => {
  const nvram = new MemoryNvram();
  const { client, tpm } = new Rig(nvram).start();
  const pub = nvPublic(INDEX, 9000, PPWRITE);
  client.run(commands.nvDefineSpace(pub, new Uint8Array(20)));
  const before = toHex(nvram.permall);
  const write = plain(commands.nvWriteValue(INDEX, 0, new Uint8Array(9000))).request;
  t.is(toHex(tpm.process(write, 0)), '00c40000000a00000019');
  t.is(toHex(nvram.permall), before);
});

const MARK = 0xa5;

/** Every secret of TPM_PERMANENT_DATA (Part 2, §7.4), by hand; and what the owner's are of them. */
function secretsOf({ data, nv }: Permanent) {
  const owners = [
    data.ownerAuth,
    data.operatorAuth,
    data.tpmProof,
    data.srk.secret!.usageAuth,
    data.srk.secret!.migrationAuth,
    data.srk.secret!.prime,
    data.contextKey.key,
    data.delegateKey.key,
    ...data.counters.map(({ authData }) => authData),
    ...data.delegateTable.map(({ authValue }) => authValue),
  ];
  const others = [
    data.ekReset,
    data.endorsementKey.secret!.prime,
    data.auditMonotonicCounter.authData,
    data.tpmDAASeed,
    data.daaProof,
    data.daaBlobKey.key,
    ...nv.flatMap(entry => (entry === undefined ? [] : [entry.authValue, entry.data])),
  ];
  return { owners, others };
}

/** An owned TPM with NV indices, all of whose secrets are of marked bytes. */
function marked() {
  const permanent = decodePermall(withIndices());
  const { owners, others } = secretsOf(permanent);
  for (const secret of [...owners, ...others]) secret.fill(MARK);
  return { permanent, owners, others };
}

const MARKS = 'a5'.repeat(8);
const isWiped = (secret: Uint8Array): boolean => secret.every(byte => byte === 0);

test('no secret of a permanent state that is dropped is left in memory', t => {
  const { permanent, owners, others } = marked();
  t.true(toHex(encodePermall(permanent)).includes(MARKS));
  wipePermanent(permanent);
  t.true([...owners, ...others].every(isWiped));
  t.false(toHex(encodePermall(permanent)).includes(MARKS));
});

test('no secret of an owner who is cleared is left, and the platform keeps its own', t => {
  const { permanent, owners, others } = marked();
  wipeOwner(permanent.data);
  t.true(owners.every(isWiped));
  t.false(others.some(isWiped));
});

test('the engine and the random guests count the same handles, each by its own table', t => {
  for (const { ordinal, name, handleBytes, wrapped } of COMMANDS.all) {
    t.deepEqual(handleBytes, handlesOf(ordinal), name);
    t.deepEqual(wrapped.handleBytes, wrappedHandlesOf(ordinal), `${name}, wrapped`);
  }
});

test('a loaded key without its private part is refused where it is read', t => {
  const bare = concat(encode(u32, 0x1234), encode(keptKey, noKey()), new Uint8Array(5));
  t.throws(() => load(keyHandleEntry, bare), { message: 'TPM_BAD_PARAMETER' });
});

test('a list of authorities whose size overflows 32 bits is short, and one that is too large is TPM_SIZE', t => {
  // TPM_CMK_ConvertMigration before swtpm 0.7.1: a count of 0x80000001 before one digest is answered so.
  const list = (count: number): Uint8Array => concat(encode(u32, count), new Uint8Array(20));
  const result = (count: number): string => {
    const fault = t.throws(() => load(msaComposite, list(count)), { instanceOf: TpmFault })!;
    return resultName(fault.result);
  };
  t.is(result(0x8000_0001), 'TPM_BAD_PARAM_SIZE');
  t.is(result(0x7fff_ffff), 'TPM_SIZE');
  t.is(result(0), 'TPM_INVALID_STRUCTURE');
});
