/**
 * Records fixtures/clients/tpm-tools.json: what trousers and tpm-tools send to a TPM 1.2, byte by
 * byte, and what swtpm answers. Needs swtpm, tpm-tools, trousers and fakeroot (scripts/peers.sh).
 *
 *     node dist/scripts/record-tools.js
 */
import { parameters } from '../lab/arguments.js';
import { recordTools } from '../lab/recorder/tools.js';

parameters('record-tools', {});
console.log(`${await recordTools(text => console.log(text))} exchanges`);
