/**
 * Numbers that no honest issuer has, in DAA: moduli that are even, zero, small, large; parameters
 * above the modulus; invalid orders and bases. What swtpm 0.7.1 answers, this engine must.
 * @long
 */
import test from 'ava';
import fc from 'fast-check';
import {
  bytesOf,
  daaSign,
  Issuer,
  join,
  number,
  type Parameters,
  power,
} from '../../lab/reference/daa.js';
import { hostOfBoth, resultOf } from '../../lab/reference/daa-host.js';
import { modExp, modExpByOpenSsl, toBytes, toNumber } from '../../src/tpm/crypto/mod-exp.js';
import { decode, encode, u32 } from '../../src/wire/codec.js';
import { peerTest } from '../_peers.js';
import { sharedSwtpm } from '../_swtpm.js';

const theirs = sharedSwtpm();

const NONE = new Uint8Array();
const small = (value: number): Uint8Array => Uint8Array.of(value);
/** A number of so many bits, with ones at both ends. */
const odd = (bits: number): Uint8Array => toBytes(2n ** BigInt(bits - 1) + 12_345n * 2n + 1n);
const right = new Issuer().parameters;
const ONES = { r0: small(1), r1: small(1), s0: small(1), s1: small(1) };
/** 2 has the order 3 modulo 7, and 9 is 2 there. */
const SEVEN = { gamma: small(7), order: bytesOf(3n, 26) };

interface Odd extends Partial<Parameters> {
  readonly w?: Uint8Array;
}

/** What an issuer has that is not right, and what both TPMs come to. */
// biome-ignore format: table
const CASES: Readonly<Record<string, readonly [Odd, string]>> = {
  'n is even':                [{ n: bytesOf(number(right.n) - 1n, 256) },                'TPM_DAA_WRONG_W'],
  'n is zero':                [{ n: new Uint8Array(256) },                               'TPM_DAA_WRONG_W'],
  'n is not there':           [{ n: NONE },                                              'TPM_DAA_WRONG_W'],
  'n is one':                 [{ n: small(1) },                                          'TPM_SUCCESS'],
  'n is three':               [{ n: small(3) },                                          'TPM_SUCCESS'],
  'n has zeros before it':    [{ n: Uint8Array.of(0, 0, ...right.n) },                   'TPM_SUCCESS'],
  'n has 511 bits':           [{ n: odd(511) },                                          'TPM_SUCCESS'],
  'n has 512 bits':           [{ n: odd(512) },                                          'TPM_SUCCESS'],
  'n has 2049 bits':          [{ n: odd(2049), s1: odd(2049) },                          'TPM_SUCCESS'],
  'n has 10000 bits':         [{ n: odd(10_000) },                                       'TPM_SIZE'],
  'n has 10001 bits':         [{ n: odd(10_001) },                                       'TPM_SIZE'],
  'n is as large as can be':  [{ n: odd(8 * 3700) },                                     'TPM_SIZE'],
  'n is large, powers of 1':  [{ n: odd(10_001), ...ONES },                              'TPM_SUCCESS'],
  'R0 is zero':               [{ r0: new Uint8Array(256) },                              'TPM_SUCCESS'],
  'R0 is not there':          [{ r0: NONE },                                             'TPM_SUCCESS'],
  'R0 is above n':            [{ r0: odd(2060) },                                        'TPM_SUCCESS'],
  'R0 is n':                  [{ r0: right.n },                                          'TPM_SUCCESS'],
  'R0 is as large as can be': [{ r0: odd(8 * 3700) },                                    'TPM_SUCCESS'],
  'the order is zero':        [{ order: new Uint8Array(26), w: right.r0 },               'TPM_DAA_WRONG_W'],
  'the order is one':         [{ order: bytesOf(1n, 26), w: bytesOf(1n, 256) },          'TPM_SUCCESS'],
  'gamma is even':            [{ gamma: bytesOf(number(right.gamma) - 1n, 256) },        'TPM_DAA_WRONG_W'],
  'gamma is zero':            [{ gamma: new Uint8Array(9), w: right.r0 },                'TPM_DAA_WRONG_W'],
  'gamma is not there':       [{ gamma: NONE, w: right.r0 },                             'TPM_DAA_WRONG_W'],
  'gamma is one':             [{ gamma: small(1) },                                      'TPM_DAA_WRONG_W'],
  'gamma is seven':           [{ ...SEVEN, w: bytesOf(2n, 256) },                        'TPM_SUCCESS'],
  'w is above gamma':         [{ ...SEVEN, w: bytesOf(9n, 256) },                        'TPM_SUCCESS'],
  'w is zero':                [{ w: new Uint8Array(256) },                               'TPM_DAA_WRONG_W'],
  'w is of another order':    [{ w: bytesOf(2n, 256) },                                  'TPM_DAA_WRONG_W'],
};

for (const [what, [{ w, ...changed }, expected]] of Object.entries(CASES)) {
  peerTest(`${what}: both come to ${expected}`, ['swtpm'], t => {
    const { host, mirror, ek } = hostOfBoth(theirs());
    const issuer = new Issuer(changed);
    const options = { checks: false, ...(w && { w }) };
    const result = resultOf(() => {
      const member = host.run('DAA_Join', join(issuer, ek, options));
      host.run('DAA_Sign', daaSign(issuer, member, options));
    });
    t.deepEqual(mirror.differences, []);
    t.is(result, expected);
  });
}

peerTest('blobs are of one issuer', ['swtpm'], t => {
  const { host, mirror, ek } = hostOfBoth(theirs());
  const [mine, other] = [new Issuer(), new Issuer({ s1: right.s0 })];
  const member = host.run('DAA_Join', join(mine, ek));
  const sign = daaSign(other, member);
  t.is(
    resultOf(() => host.run('DAA_Sign', sign)),
    'TPM_DAA_ISSUER_SETTINGS',
  );
  t.deepEqual(mirror.differences, []);
});

peerTest('invalid issuer keys, and counts at the limits', ['swtpm'], t => {
  const { host, mirror } = hostOfBoth(theirs());
  const issuer = new Issuer();
  const [first, second] = issuer.chain;
  const signature = first!.sign(second!.modulus);
  const keys = [new Uint8Array(256), bytesOf(2n, 256), bytesOf(1n, 256), odd(2040), odd(2047)];
  for (const key of keys.map(one => bytesOf(number(one), 256))) {
    for (const count of [2, 0xffff_ffff]) {
      const opened = host.send('DAA_Join', { stage: 0, data0: encode(u32, count), data1: NONE });
      host.handle = decode(u32, opened);
      host.send('DAA_Join', { stage: 1, data0: key, data1: NONE });
      t.is(
        resultOf(() =>
          host.send('DAA_Join', { stage: 1, data0: second!.modulus, data1: signature }),
        ),
        'TPM_DAA_ISSUER_VALIDITY',
      );
    }
  }
  t.deepEqual(mirror.differences, []);
});

const bits = (most: number): fc.Arbitrary<bigint> =>
  fc.bigInt({ min: 0n, max: 2n ** BigInt(most) });

test('a power by OpenSSL is the power, for moduli that DAA has', t => {
  const moduli = bits(2048).map(value => value + 2n ** 2048n + (value % 2n === 0n ? 1n : 0n));
  const law = fc.property(bits(2100), bits(1752), moduli, (base, exponent, modulus) => {
    const found = modExpByOpenSsl(base, exponent, modulus);
    return found !== undefined && found === power(base, exponent, modulus);
  });
  t.notThrows(() => fc.assert(law, { numRuns: 30 }));
});

test('a power is the power, for any odd modulus', t => {
  const modulus = fc.oneof(bits(8), bits(520), bits(1100)).map(value => 2n * value + 1n);
  const law = fc.property(
    bits(600),
    bits(300),
    modulus,
    (base, exponent, of) => modExp(base, exponent, of) === power(base, exponent, of),
  );
  t.notThrows(() => fc.assert(law, { numRuns: 200 }));
  t.is(modExp(0n, 0n, 1n), 0n);
  t.throws(() => modExp(2n, 2n, 4n), { instanceOf: RangeError });
});

test('numbers as bytes', t => {
  t.deepEqual(toBytes(0n), NONE);
  t.deepEqual(toBytes(0x01_00n), Uint8Array.of(1, 0));
  t.is(toNumber(NONE), 0n);
  t.is(toNumber(Uint8Array.of(0, 1, 0)), 256n);
});
