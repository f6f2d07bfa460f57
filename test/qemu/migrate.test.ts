/** @long A real QEMU saves, loads and migrates a machine whose TPM is `nvtpm serve --ctrl`: blobs in its stream. */
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { QemuSystem } from '../../lab/peers/qemu-system.js';
import { nvtpm } from '../../lab/program/cli.js';
import { Serving } from '../../lab/program/serving.js';
import { peerTest } from '../_peers.js';

const QEMU = 'qemu-system-x86_64';
const BOOTED = 'No bootable device';

async function served(t: ExecutionContext) {
  const folder = scratch(t);
  const [image, ctrl] = [join(folder, 'tpm.qcow2'), join(folder, 'ctrl')];
  nvtpm(['create', image]);
  const serving = await Serving.start(image, '--ctrl', `type=unixio,path=${ctrl}`);
  t.teardown(() => serving.process.kill('SIGKILL'));
  return { image, ctrl, serving };
}

/** Where a migration has ended. */
async function migrated(qemu: QemuSystem): Promise<string> {
  for (;;) {
    const { status } = (await qemu.run('query-migrate')) as { status?: string };
    if (status === 'completed' || status === 'failed') return status;
  }
}

async function withReturnPath(qemu: QemuSystem): Promise<void> {
  const capabilities = [{ capability: 'return-path', state: true }];
  await qemu.run('migrate-set-capabilities', { capabilities });
}

peerTest(
  'a running machine migrates to another QEMU with an empty image, which then has its TPM',
  [QEMU],
  async t => {
    const [from, to] = [await served(t), await served(t)];
    const source = await QemuSystem.start(t, from.ctrl);
    await source.says(BOOTED);
    const target = await QemuSystem.start(t, to.ctrl, '-incoming', 'defer');
    for (const qemu of [source, target]) await withReturnPath(qemu);
    const uri = `unix:${join(scratch(t), 'stream')}`;
    await target.run('migrate-incoming', { uri });
    await source.run('migrate', { uri });
    t.is(await migrated(source), 'completed');
    t.like(await target.run('query-status'), { status: 'running' });
    await target.run('system_reset');
    await target.says(BOOTED);
    t.is(await source.quit(), 0);
    t.is(await target.quit(), 0);
    for (const { serving } of [from, to]) t.is((await serving.ended()).exit, 0);
    const [left, arrived] = [from, to].map(({ image }) => nvtpm(['info', image, '--json']).json());
    t.deepEqual(arrived!['tpm'], left!['tpm']);
  },
);

peerTest('a target whose image is damaged gives up, and the source runs on', [QEMU], async t => {
  const [from, to] = [await served(t), await served(t)];
  const source = await QemuSystem.start(t, from.ctrl);
  await source.says(BOOTED);
  const target = await QemuSystem.start(t, to.ctrl, '-incoming', 'defer');
  for (const qemu of [source, target]) await withReturnPath(qemu);
  truncateSync(to.image, 100_000);
  const uri = `unix:${join(scratch(t), 'stream')}`;
  await target.run('migrate-incoming', { uri });
  await source.run('migrate', { uri });
  t.is(await migrated(source), 'failed');
  t.not(await target.exited(), 0);
  t.regex(to.serving.err, /CMD_INIT was answered 0x9: /);
  await source.run('system_reset');
  await source.says(BOOTED, 2);
  t.is(await source.quit(), 0);
});
