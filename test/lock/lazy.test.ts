/** The package must import where koffi has no build: it is loaded with the first lock only. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { ROOT } from '../../lab/files.js';

function loadsKoffi(code: string): boolean {
  const script = `
    import { createRequire } from 'node:module';
    const block = await import('${join(ROOT, 'dist/src/block/index.js')}');
    const lock = await import('${join(ROOT, 'dist/src/lock/index.js')}');
    try { ${code} } catch {}
    const loaded = Object.keys(createRequire('${ROOT}/').cache);
    console.log(loaded.some(path => path.includes('koffi')));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return stdout.trim() === 'true';
}

test('importing loads no native code', t => {
  t.false(loadsKoffi(''));
});

test('this test would notice it', t => {
  t.is(loadsKoffi('lock.lockDriverFor(0)'), process.platform === 'linux');
});
