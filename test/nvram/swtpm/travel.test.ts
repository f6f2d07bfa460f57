/**
 * State between images and the real swtpm: every backend, every kind of key, both versions.
 * @long
 */
import { join } from 'node:path';
import { hex, scratch } from '../../../lab/files.js';
import { swtpm } from '../../../lab/peers/swtpm.js';
import { swtpmKeys } from '../../../lab/peers/swtpm-keys.js';
import {
  type Cell,
  cellName,
  fromSetup,
  type Nvtpm,
  PLAIN,
  thereAndBack,
} from '../../../lab/peers/swtpm-travel.js';
import { peerTest } from '../../_peers.js';
import { cli } from '../../cli/_in-process.js';

const nvtpm: Nvtpm = async args => {
  const run = await cli(args);
  if (run.exit !== 0) throw new Error(`nvtpm ${args.join(' ')}: ${run.out}${run.err}`);
};

for (const version of ['1.2', '2.0'] as const) {
  peerTest(
    `TPM ${version}: from swtpm_setup into an image, and from there to swtpm and back with each key`,
    ['swtpm', 'swtpm_setup'],
    async t => {
      const folder = scratch(t);
      const first = await fromSetup(nvtpm, folder, { backend: 'dir', key: PLAIN, version });
      // Every kind of key once, and both backends in turn: scripts/travel-swtpm.ts has all cells.
      for (const [at, key] of swtpmKeys(folder).entries()) {
        const backend = (at + (version === '1.2' ? 0 : 1)) % 2 === 0 ? 'dir' : 'file';
        const cell: Cell = { backend, key, version };
        const { ek, again, isWritten } = await thereAndBack(nvtpm, folder, first.image, cell);
        t.is(ek, first.ek, cellName(cell));
        t.is(again, first.ek, cellName(cell));
        t.true(isWritten, `${cellName(cell)}: what was imported is what swtpm has written`);
      }
    },
  );
}

peerTest(
  'a directory that a running swtpm uses is refused, and swtpm is named',
  ['swtpm'],
  async t => {
    const peer = swtpm(t);
    // Its answer says that it is initialised: it has stored a new TPM, and holds the lock.
    peer.transmit(hex('00c1 0000000c 00000099 0001'));
    const image = join(scratch(t), 'tpm.qcow2');
    await nvtpm(['create', image]);
    const run = await cli(['import', image, '--from', `swtpm-dir:${peer.folder}`]);
    t.is(run.exit, 9, run.out);
    t.regex(run.err, /\.lock is locked by process \d+ \(swtpm/);
    peer.stop();
    t.is((await cli(['import', image, '--from', `swtpm-dir:${peer.folder}`])).exit, 0);
  },
);
