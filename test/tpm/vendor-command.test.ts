/**
 * What a new command costs: one record. The command of a vendor is added to the table, and
 * capabilities, delegation, auditing and transport sessions know it; nothing else was told of it.
 */
import test from 'ava';
import { toHex } from '../../lab/files.js';
import { Channel } from '../../lab/reference/channel.js';
import { MemoryNvram } from '../../lab/reference/memory-nvram.js';
import { Rig } from '../../lab/reference/rig.js';
import { owned, ownerSecret } from '../../lab/reference/states.js';
import { ATTRIBUTE } from '../../lab/reference/tunnel.js';
import {
  authorised,
  CAP,
  commands,
  ENTITY,
  encryptAuth,
  frame,
  HANDLE,
  RESOURCE,
  raw,
  type Session,
} from '../../src/guest/index.js';
import { osapShared, sha1 } from '../../src/guest/sessions.js';
import { type Command, command } from '../../src/tpm/tpm12/command.js';
import { CommandTable } from '../../src/tpm/tpm12/command-table.js';
import { COMMANDS } from '../../src/tpm/tpm12/commands/index.js';
import { TpmFault } from '../../src/tpm/tpm12/results.js';
import { sizedBuffer } from '../../src/tpm/tpm12/structures/codecs.js';
import { bytes, concat, encode, u32 } from '../../src/wire/codec.js';

const ORDINAL = 0xf8;
/** A bit of the owner's delegations that no command of the specification has here. */
const OWNER_BIT = 7;

const mirror = command({
  ordinal: { name: 'VENDOR_Mirror', value: ORDINAL },
  auth: 'optional',
  when: 'operational',
  delegable: { owner: OWNER_BIT },
  audited: 'from the start',
  handles: { keyHandle: 'key' },
  input: { data: bytes(4) },
  output: { mirrored: sizedBuffer },
  run(call, { keyHandle, data }) {
    call.auth?.authorise(call.owner);
    return { mirrored: concat(encode(u32, keyHandle), data.toReversed()) };
  },
});

const TABLE = new CommandTable([...COMMANDS.all, mirror]);
const DATA = Uint8Array.of(1, 2, 3, 4);
const MIRRORED = '000000084000000004030201';
const ask = {
  ordinal: ORDINAL,
  handles: encode(u32, HANDLE.SRK),
  params: DATA,
  output: raw.rest,
};
const request = frame(0x00c1, ORDINAL, concat(ask.handles, ask.params));
const n4 = (value: number): Uint8Array => encode(u32, value);

function rig(records = TABLE): Rig {
  const nvram = new MemoryNvram();
  nvram.blobs.set('permall', owned());
  return new Rig(nvram, { commands: records }).start();
}

test('it runs, and TPM_CAP_ORD reports it', t => {
  const { client } = rig();
  t.is(toHex(client.run(ask)), MIRRORED);
  t.is(toHex(client.authorise(ask, ownerSecret())), MIRRORED);
  t.is(client.run(commands.getCapability(CAP.ORD, ORDINAL))[0], 1);
  const without = rig(COMMANDS).client;
  t.is(without.run(commands.getCapability(CAP.ORD, ORDINAL))[0], 0);
  t.throws(() => without.run(ask), { message: /BAD_ORDINAL/ });
});

/** A DSAP session by a delegation of the owner's that has these bits. */
function delegated({ client }: Rig, per1: number): Session {
  const { byte, counted, rawCommand, selection, word16 } = raw;
  const manage = (family: number, op: number) =>
    rawCommand('Delegate_Manage', 0, family, op, counted(byte(1)));
  const family = client.authorise(manage(0, 1), ownerSecret()).slice(4);
  const id = Buffer.from(family).readUInt32BE();
  client.authorise(manage(id, 2), ownerSecret());
  const head = concat(word16(0x1b), byte(0), selection(), byte(0x1f), new Uint8Array(20));
  const pub = concat(head, word16(0x1a), n4(1), n4(per1), n4(0), family, n4(0));
  const session = client.openOsap(ENTITY.OWNER, HANDLE.OWNER, ownerSecret());
  const secret = new Uint8Array(20).fill(0x44);
  const create = rawCommand(
    'Delegate_CreateOwnerDelegation',
    0,
    byte(0),
    pub,
    encryptAuth(session, secret),
  );
  const nonceOdd = client.nonce();
  const auth = { session, secret: ownerSecret(), nonceOdd };
  const blob = client.exchange(authorised(create, auth)).value.slice(4);
  const dsap = rawCommand('DSAP', 0, word16(7), HANDLE.OWNER, nonceOdd, counted(blob));
  const opened = client.run(dsap);
  return {
    handle: Buffer.from(opened).readUInt32BE(),
    nonceEven: opened.slice(4, 24),
    shared: osapShared(secret, opened.slice(24, 44), nonceOdd),
  };
}

test('a delegation with its bit covers it, and one with every other bit does not', t => {
  const run = (per1: number): string => {
    const one = rig();
    const session = delegated(one, per1);
    const auth = { session, secret: ownerSecret(), nonceOdd: one.client.nonce() };
    return toHex(one.client.exchange(authorised(ask, auth)).value);
  };
  t.is(run(2 ** OWNER_BIT), MIRRORED);
  t.throws(() => run(0xffff_ffff - 2 ** OWNER_BIT), { message: /AUTHFAIL/ });
});

/** The ordinals that TPM_GetAuditDigest lists. */
function audited({ client }: Rig): number[] {
  const list = Buffer.from(client.run(raw.rawCommand('GetAuditDigest', 0, 0)).slice(10 + 20 + 1));
  return Array.from({ length: list.readUInt32BE() / 4 }, (_, at) => list.readUInt32BE(4 + 4 * at));
}

test('a new TPM audits it from the start, and the owner may turn that off', t => {
  const fresh = new Rig(new MemoryNvram(), { commands: TABLE }).start();
  t.true(audited(fresh).includes(ORDINAL));
  t.false(audited(new Rig(new MemoryNvram()).start()).includes(ORDINAL));
  const one = rig();
  const status = (on: number) => raw.rawCommand('SetOrdinalAuditStatus', 0, ORDINAL, raw.byte(on));
  one.client.authorise(status(1), ownerSecret());
  t.true(audited(one).includes(ORDINAL));
  one.client.authorise(status(0), ownerSecret());
  t.false(audited(one).includes(ORDINAL));
});

test('a transport session carries it, with its handle in clear and its key in the log', t => {
  const one = rig();
  const srk = one.client.ownerReadInternalPub(HANDLE.SRK, ownerSecret());
  const keys = sha1(sha1(raw.counted(srk.modulus)));
  const { ENCRYPT, LOG } = ATTRIBUTE;
  const channel = new Channel(one.client, one.transmit, ENCRYPT + LOG).open();
  const response = channel.run(request, { input: 4, keys });
  t.is(toHex(response.slice(10)), MIRRORED);
});

test('a record that contradicts another one, or itself, does not load', t => {
  const spec = {
    auth: 'one',
    when: 'owned',
    run: () => ({}),
  } as const;
  const other = { name: 'VENDOR_Other', value: 0xf9 };
  const load = (record: () => Command) => () => new CommandTable([mirror, record()]);
  const cases: readonly [() => Command, RegExp][] = [
    [() => command({ ...spec, ordinal: { ...other, value: ORDINAL } }), /same ordinal/],
    [() => command({ ...spec, ordinal: { ...other, name: 'VENDOR_Mirror' } }), /same name/],
    [
      () => command({ ...spec, ordinal: other, delegable: { owner: OWNER_BIT } }),
      /same delegable.owner/,
    ],
    [() => command({ ...spec, ordinal: other, delegable: { key: 29 } }), /no key delegation/],
    [
      () => command({ ...spec, ordinal: other, auth: 'none', delegable: { key: 1 } }),
      /no authorisation/,
    ],
    [
      () =>
        command({ ...spec, ordinal: { ...other, value: 0x2000_0001 }, audited: 'from the start' }),
      /no bit in the audit map/,
    ],
    [
      () => command({ ...spec, ordinal: other, auth: 'two', transport: { authorises: true } }),
      /more authorisations/,
    ],
    [() => command({ ...spec, ordinal: other, transport: { handleBytes: 4 } }), /more bytes/],
    [
      () => command({ ...spec, ordinal: other, input: { keyHandle: u32 } }),
      /keyHandle is not among/,
    ],
  ];
  for (const [record, message] of cases) t.throws(load(record), { message });
  t.notThrows(load(() => command({ ...spec, ordinal: other })));
});

test('what fails at the end of a command still ends its sessions', t => {
  const failing = command({
    ordinal: { name: 'VENDOR_Failing', value: 0xf9 },
    auth: 'one',
    when: 'operational',
    run(call) {
      call.authoriseOwner();
      return {};
    },
    after() {
      throw new TpmFault('BAD_MODE');
    },
  });
  const { client } = rig(new CommandTable([...COMMANDS.all, failing]));
  const session = client.openOiap();
  const none = { ordinal: 0xf9, handles: new Uint8Array(), params: new Uint8Array() };
  const auth = { session, secret: ownerSecret(), nonceOdd: client.nonce(), continueSession: true };
  const run = () => client.exchange(authorised({ ...none, output: raw.rest }, auth));
  t.throws(run, { message: /BAD_MODE/ });
  const open = client.run(commands.getCapability(CAP.HANDLE, RESOURCE.AUTH));
  t.is(toHex(open), '0000');
});
