/**
 * Scripts of register accesses on our device and on QEMU's; scripts/diff-tis.ts is the long run.
 * @long
 */
import type { ExecutionContext } from 'ava';
import { QTEST_PEERS } from '../../lab/peers/qtest.js';
import { Differential } from '../../lab/tis/differential.js';
import { peerTest } from '../_peers.js';

async function start(t: ExecutionContext, ...how: Parameters<typeof Differential.start>) {
  const pair = await Differential.start(...how);
  t.teardown(() => pair.close());
  return pair;
}

for (const personality of ['1.2', '2.0'] as const) {
  peerTest(
    `100 scripts of 100 accesses read as on QEMU: TPM ${personality}`,
    QTEST_PEERS,
    async t => {
      const pair = await start(t, personality);
      let compared = 0;
      let commands = 0;
      for (let seed = 1; seed <= 100; seed += 1) {
        const outcome = await pair.run(seed, 100);
        t.deepEqual(outcome.differences, [], `seed ${seed}`);
        compared += outcome.compared;
        commands += outcome.commands;
      }
      t.true(compared > 2000, `${compared} values compared`);
      t.true(commands > 100, `${commands} commands run`);
    },
  );
}

peerTest('the comparison can fail: an interrupt wired elsewhere is found', QTEST_PEERS, async t => {
  const pair = await start(t, '1.2', { irqVector: 6 });
  let found = 0;
  for (let seed = 1; seed <= 10; seed += 1) {
    const { differences } = await pair.run(seed, 100);
    found += differences.length;
    for (const { line } of differences) t.regex(line, /^read/);
  }
  t.true(found > 0);
});
