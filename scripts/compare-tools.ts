/**
 * trousers' clients (tpm-tools, tpm-quote-tools, simple-tpm-pk11) before swtpm over TCP and before
 * `nvtpm serve` on a qcow2 image, step by step: each must have the same exit code and the same output,
 * except for the bytes of keys.
 *
 *     node dist/scripts/compare-tools.js
 *
 * Needs swtpm, trousers and its clients (scripts/peers.sh).
 */
import { parameters } from '../lab/arguments.js';
import { compareTools } from '../lab/tools/campaign.js';

parameters('compare-tools', {});
const totals = await compareTools(line => console.log(line));
console.log(JSON.stringify(totals));
process.exit(totals.differences + totals.surprises > 0 ? 1 : 0);
