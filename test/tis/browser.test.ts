/** The TIS in a browser: `nvtpm/tis` bundles without an alias, and the bundle needs nothing of Node. */
import { join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import test from 'ava';
import { build } from 'esbuild';
import { ROOT } from '../../lab/files.js';

/** A guest's command through the registers, and a saved state, in an environment without modules. */
const PROGRAM = `
  const backend = {
    execute: (command, locality, done) => done(Uint8Array.of(0, 0xc4, 0, 0, 0, 10, 0, 0, 0, 0)),
    cancel: () => {}, established: () => false,
    hashStart: () => {}, hashData: () => {}, hashEnd: () => {},
  };
  const tis = new nvtpm.Tis({ backend, personality: '1.2' });
  const command = Uint8Array.of(0, 0xc1, 0, 0, 0, 12, 0, 0, 0, 0x99, 0, 1);
  const response = new nvtpm.TisDriver(tis).transmit(command);
  for (const [at, value] of [[0x00, 0x02], [0x18, 0x40], [0x24, 0xc1]]) tis.write(at, 1, value);
  const saved = JSON.parse(JSON.stringify(tis.saveState()));
  const other = new nvtpm.Tis({ backend, personality: '1.2' });
  other.restoreState(saved);
  JSON.stringify({
    didVid: tis.read(0xf00, 4), response: [...response],
    fifo: saved.command.fifo, same: JSON.stringify(other.saveState()) === JSON.stringify(saved),
  });
`;

test('nvtpm/tis bundles for a browser, and the bundle runs without Node', async t => {
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, 'dist', 'src', 'tis', 'index.js')],
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'nvtpm',
    write: false,
    logLevel: 'silent',
  });
  const found: unknown = runInContext(`${outputFiles[0]?.text}${PROGRAM}`, createContext({}));
  t.deepEqual(JSON.parse(String(found)), {
    didVid: 0x0001_1014,
    response: [0, 0xc4, 0, 0, 0, 10, 0, 0, 0, 0],
    fifo: 'c1',
    same: true,
  });
});
