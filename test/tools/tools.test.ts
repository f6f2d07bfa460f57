/**
 * trousers' clients before swtpm over TCP, and before `nvtpm serve` on a qcow2 image: the same exit
 * codes and the same words. Both are killed and started again on the way.
 * @long
 */
import { scratch } from '../../lab/files.js';
import { compared, PEERS } from '../../lab/tools/comparison.js';
import { LIFE, REVOCABLE } from '../../lab/tools/steps.js';
import { peerTest } from '../_peers.js';

for (const [title, steps] of [
  ['the life of a TPM', LIFE],
  ['an EK that is revoked', REVOCABLE],
] as const) {
  peerTest(`${title}: every tool says what it says before swtpm`, PEERS, async t => {
    const { theirs, ours, surprises } = await compared(scratch(t), steps);
    t.deepEqual(surprises, []);
    t.deepEqual(ours, theirs);
  });
}
