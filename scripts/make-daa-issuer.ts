/**
 * Makes fixtures/daa/issuer.json: the primes of an issuer of DAA credentials, by OpenSSL.
 *
 *     node dist/scripts/make-daa-issuer.js
 */
import { parameters } from '../lab/arguments.js';
import { makeIssuer } from '../lab/recorder/daa-issuer.js';

parameters('make-daa-issuer', {});
makeIssuer();
