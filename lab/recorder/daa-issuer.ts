/** Makes fixtures/daa/issuer.json: the primes of an issuer of DAA credentials, by OpenSSL. @module */
import { checkPrimeSync, generatePrimeSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../files.js';
import { writeSums } from './sums.js';

const EXPONENT = 65537n;

/** A prime of an RSA key whose public exponent is 65537. */
function rsaPrime(bits: number): bigint {
  const prime = generatePrimeSync(bits, { bigint: true });
  return (prime - 1n) % EXPONENT === 0n ? rsaPrime(bits) : prime;
}
const hex = (value: bigint): string => value.toString(16);
const rsaPrimes = (): string[] => [hex(rsaPrime(1024)), hex(rsaPrime(1024))];

/** A prime between 2^367 and 2^367 + 2^120, in which the exponent of a credential lies. */
function credentialPrime(): bigint {
  let candidate = 2n ** 367n + generatePrimeSync(119, { bigint: true });
  while (!checkPrimeSync(candidate)) candidate += 2n;
  return candidate;
}

/** All else that an issuer has follows from its primes (lab/reference/daa.ts). */
export function makeIssuer(): void {
  // Part 2 §22.3 has 26 bytes for the order of pseudonyms.
  const order = generatePrimeSync(208, { bigint: true });
  const issuer = {
    about:
      'The primes of an issuer of DAA credentials, in hex: two keys, of which the first signs the second, and the second the parameters; the factors of n; the order of pseudonyms; a modulus in which there are such; the exponent of a credential.',
    recordedBy: 'scripts/make-daa-issuer.ts',
    source: `OpenSSL ${process.versions.openssl}`,
    chain: [rsaPrimes(), rsaPrimes()],
    n: rsaPrimes(),
    order: hex(order),
    gamma: hex(generatePrimeSync(2048, { bigint: true, add: 2n * order, rem: 1n })),
    e: hex(credentialPrime()),
  };
  const folder = join(ROOT, 'fixtures', 'daa');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'issuer.json'), `${JSON.stringify(issuer, null, 1)}\n`);
  writeSums();
}
