/** The image guard as the command shows it, beside the real qemu-io and qemu-img. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { nvtpm } from '../../lab/program/cli.js';
import { openImage } from '../../src/block/index.js';
import { peerTest } from '../_peers.js';
import { machineOn } from '../machine/_machines.js';

const GET_RANDOM = '00c10000000e0000004600000008';

function image(t: ExecutionContext): string {
  const file = join(scratch(t), 'tpm.qcow2');
  t.is(nvtpm(['create', file]).exit, 0);
  return file;
}

peerTest('while qemu-io has the image, nvtpm is LOCKED out and names it', ['qemu-io'], async t => {
  const file = image(t);
  const qemu = spawn('qemu-io', ['-f', 'qcow2', file], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => qemu.kill());
  qemu.stdin.write('read 0 512\n');
  await once(qemu.stdout, 'data');
  for (const args of [
    ['exec', file, GET_RANDOM],
    ['info', file],
    ['check', file, '--repair'],
  ]) {
    const run = nvtpm([...args, '--lock-timeout', '50', '--json']);
    t.is(run.exit, 9, run.out);
    t.regex(run.out, new RegExp(`qemu-io.*${qemu.pid}|${qemu.pid}.*qemu-io`));
  }
  t.is(nvtpm(['info', file, '--force-share']).exit, 0);
  qemu.stdin.end('quit\n');
  await once(qemu, 'exit');
  t.is(nvtpm(['exec', file, GET_RANDOM]).exit, 0);
});

peerTest(
  'while a TPM is active, qemu-io is kept out in its own words',
  ['qemu-io', 'qemu-img'],
  t => {
    const file = image(t);
    using open = openImage(file, { readOnly: false });
    const machine = machineOn(open);
    machine.powerOn();
    const write = spawnSync('qemu-io', ['-f', 'qcow2', '-c', 'write 0 512', file], {
      encoding: 'utf8',
    });
    t.regex(write.stdout + write.stderr, /Failed to get "write" lock/);
    t.not(spawnSync('qemu-img', ['info', file]).status, 0);
    t.is(spawnSync('qemu-img', ['info', '-U', file]).status, 0);
    t.is(nvtpm(['info', file]).exit, 9);
    const shared = nvtpm(['info', file, '-U', '--json']).json() as unknown as {
      lock: { guard: boolean; holders: { pid: number }[] };
    };
    t.true(shared.lock.guard);
    t.true(shared.lock.holders.some(({ pid }) => pid === process.pid));
    machine.powerOff();
    t.is(spawnSync('qemu-img', ['info', file]).status, 0);
  },
);
