/** Responses that are none: the client refuses them by a class and a code, and by nothing else. */
import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { hex, toHex } from '../../lab/files.js';
import {
  ANY_PCR,
  authorised,
  commands,
  ordinalName,
  pcrsHolding,
  plain,
  resultName,
  TpmResponseError,
  TpmResponseFault,
} from '../../src/guest/index.js';

const session = { handle: 1, nonceEven: new Uint8Array(20), shared: undefined };
const auth = { session, secret: new Uint8Array(20), nonceOdd: new Uint8Array(20) };
const EXCHANGES = [
  plain(commands.pcrRead(0)),
  plain(commands.readPubek(new Uint8Array(20))),
  plain(commands.getRandom(4)),
  authorised(commands.nvReadValue(1, 0, 4), auth),
];

// biome-ignore format: table
const NOT_RESPONSES: Readonly<Record<string, string>> = {
  'no bytes':                              '',
  'half a header':                         '00c4000000',
  'a header of a success and nothing':     '00c40000000a00000000',
  'a size that is too large':              '00c40000000b00000001',
  'a size that is too small':              '00c40000000900000001',
  'a refusal with a byte more':            '00c40000000b0000000100',
  'a refusal with the tag of a session':   '00c50000000a00000001',
  'a tag of a request':                    '00c10000000a00000001',
};

for (const [what, bytes] of Object.entries(NOT_RESPONSES)) {
  test(`not a response: ${what}`, t => {
    for (const exchange of EXCHANGES) {
      t.throws(() => exchange.verify(hex(bytes)), {
        instanceOf: TpmResponseFault,
        code: 'RESPONSE_FORM',
      });
    }
  });
}

test('a refusal is an error with its number and its name', t => {
  const exchange = plain(commands.pcrRead(24));
  const error = t.throws(() => exchange.verify(hex('00c40000000a00000002')), {
    instanceOf: TpmResponseError,
  });
  t.is(error?.result, 2);
  t.is(error?.resultName, 'TPM_BADINDEX');
  t.is(error?.message, 'the TPM answered TPM_PcrRead with TPM_BADINDEX (0x2)');
});

test('whatever bytes come back, the client says so in its own words', t => {
  const head = fc.constantFrom('00c4', '00c5').map(hex);
  const response = fc.tuple(head, fc.uint8Array({ maxLength: 400 })).map(([tag, body]) => {
    const bytes = Uint8Array.of(...tag, 0, 0, 0, 0, 0, 0, 0, 0, ...body);
    new DataView(bytes.buffer).setUint32(2, bytes.length);
    return bytes;
  });
  fc.assert(
    fc.property(fc.oneof(response, fc.uint8Array()), fc.constantFrom(...EXCHANGES), (bytes, e) => {
      try {
        e.verify(bytes);
      } catch (error) {
        return error instanceof TpmResponseError || error instanceof TpmResponseFault;
      }
      return true;
    }),
  );
  t.pass();
});

// The bytes are written out from TPM Main Part 3 §16.2 and §20, not made by the client.
test('requests as the specification lays them out', t => {
  const ones = new Uint8Array(20).fill(0x11);
  // biome-ignore format: table
  const requests = [
    [commands.startup(1),                '00c10000000c000000990001'],
    [commands.pcrRead(10),               '00c10000000e000000150000000a'],
    [commands.extend(10, ones),          `00c100000022000000140000000a${'11'.repeat(20)}`],
    [commands.physicalPresence(0x20),    '00c10000000c4000000a0020'],
    [commands.physicalSetDeactivated(false), '00c10000000b0000007200'],
    [commands.getCapability(5, 0x115),   '00c1000000160000006500000005000000040000' + '0115'],
    [commands.nvReadValue(0x1100, 2, 8), '00c100000016000000cf000011000000000200000008'],
    [commands.nvWriteValue(0x1100, 2, Uint8Array.of(9)), '00c100000017000000cd00001100000000020000000109'],
  ] as const;
  for (const [command, bytes] of requests) t.is(toHex(plain<unknown>(command).request), bytes);
});

test('PCRs that an index is bound to: a bitmap, and the SHA-1 of the composite', t => {
  const zeros = '00'.repeat(20);
  const composite = hex(`0003000401 00000028 ${zeros} ${'11'.repeat(20)}`);
  const held = new Map([
    [10, hex(zeros)],
    [16, hex('11'.repeat(20))],
  ]);
  const info = pcrsHolding(held, 0x04);
  t.is(toHex(info.pcrSelection), '000401');
  t.is(info.localityAtRelease, 0x04);
  t.is(toHex(info.digestAtRelease), createHash('sha1').update(composite).digest('hex'));
  t.is(toHex(ANY_PCR.pcrSelection), '000000');
});

test('numbers that have no name are shown as numbers', t => {
  t.is(resultName(0x803), 'TPM_DEFEND_LOCK_RUNNING');
  t.is(resultName(0x60), 'result 0x60');
  t.is(ordinalName(0x4000_000a), 'TSC_PhysicalPresence');
  t.is(ordinalName(0xfff), 'ordinal 0xfff');
});
