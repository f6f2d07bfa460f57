/** swtpm's own tool on our control channel: over a Unix socket and over TCP. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratch } from '../../lab/files.js';
import { peerTest } from '../_peers.js';
import { controlled } from './_control.js';

async function ioctl(...args: readonly string[]): Promise<{ exit: unknown; said: string }> {
  const child = spawn('swtpm_ioctl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', chunk => (said += chunk));
  child.stderr.on('data', chunk => (said += chunk));
  const [exit] = await once(child, 'close');
  return { exit, said };
}

const UNIX = (path: string): readonly string[] => ['--unix', path];

peerTest(
  'swtpm_ioctl drives the TPM over a Unix socket, and moves its state to another',
  ['swtpm_ioctl'],
  async t => {
    const { path, ended } = await controlled(t);
    const folder = scratch(t);
    const permanent = join(folder, 'permanent');
    const volatile = join(folder, 'volatile');
    // biome-ignore format: table
    const steps: readonly (readonly [args: readonly string[], exit: number, said: RegExp])[] = [
    [['-c'],                             0, /ptm capability is 0x17fbf/],
    [['-i'],                             0, /^$/],
    [['-e'],                             0, /tpmEstablished is 0/],
    [['-l', '3'],                        0, /^$/],
    [['-r', '3'],                        1, /0x26/],
    [['-C'],                             1, /0x9/],
    [['-b', '0'],                        0, /TPM buffersize: 4096/],
    [['-b', '4096'],                     1, /0xa/],
    [['-g'],                             0, /ptm configuration flags: 0x0/],
    [['--info', '1'],                    0, /"family":"1.2"/],
    [['--save', 'permanent', permanent], 0, /^$/],
    [['--save', 'volatile', volatile],   0, /^$/],
    [['-v'],                             1, /0xa/],
    [['--stop'],                         0, /^$/],
  ];
    for (const [args, exit, expected] of steps) {
      const run = await ioctl(...UNIX(path), ...args);
      t.is(run.exit, exit, `${args.join(' ')}: ${run.said}`);
      t.regex(run.said, expected, args.join(' '));
    }
    const other = await controlled(t);
    for (const args of [
      ['--load', 'permanent', permanent],
      ['--load', 'volatile', volatile],
      ['-i'],
    ]) {
      t.is((await ioctl(...UNIX(other.path), ...args)).exit, 0, args.join(' '));
    }
    const copy = join(folder, 'copy');
    t.is((await ioctl(...UNIX(other.path), '--save', 'permanent', copy)).exit, 0);
    t.deepEqual(readFileSync(copy), readFileSync(permanent));
    t.is((await ioctl(...UNIX(path), '-s')).exit, 0);
    t.is((await ended).reason, 'control-shutdown');
  },
);

peerTest('swtpm_ioctl drives the TPM over TCP', ['swtpm_ioctl'], async t => {
  const { listening } = await controlled(t, { control: { address: { type: 'tcp', port: 0 } } });
  const at = ['--tcp', `127.0.0.1:${listening.controlPort}`];
  for (const args of [['-c'], ['-i'], ['-l', '1'], ['--stop'], ['-s']]) {
    t.is((await ioctl(...at, ...args)).exit, 0, args.join(' '));
  }
});
