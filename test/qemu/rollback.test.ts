/** @long `savevm` and `loadvm` of a real QEMU, whose guest takes ownership of the TPM in between. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GuestTpm } from '../../examples/v86-linux/guest.js';
import { sysfs } from '../../examples/v86-linux/sysfs.js';
import { scratch } from '../../lab/files.js';
import { qemuImg } from '../../lab/peers/qemu.js';
import { nvtpm } from '../../lab/program/cli.js';
import { Serving } from '../../lab/program/serving.js';
import { secretOf } from '../../src/guest/index.js';
import { testUnlessMissing } from '../_peers.js';
import { bootLinux, missingForLinux } from './_linux.js';

const OWNER = secretOf('the owner of the test');
const ON = { enabled: '1', active: '1' };

testUnlessMissing(
  'loadvm rolls the TPM back, to before its EK too; what it replaces is kept as a generation',
  missingForLinux(),
  async t => {
    const folder = scratch(t);
    const at = (name: string): string => join(folder, name);
    const [image, ctrl, trace, disk] = [at('tpm.qcow2'), at('ctrl'), at('trace'), at('disk.qcow2')];
    nvtpm(['create', image, '--keep', '8']);
    // Where QEMU keeps its snapshots.
    qemuImg('create', '-q', '-f', 'qcow2', disk, '1G');
    const server = ['--ctrl', `type=unixio,path=${ctrl}`, '--trace', trace];
    const serving = await Serving.start(image, ...server);
    t.teardown(() => serving.process.kill('SIGKILL'));
    const drive = ['-drive', `if=none,id=disk,format=qcow2,file=${disk}`];
    const { qemu, console } = await bootLinux(t, ctrl, ...drive);
    const hmp = async (command: string): Promise<void> => {
      t.is(await qemu.run('human-monitor-command', { 'command-line': command }), '');
      t.like(await qemu.run('query-status'), { status: 'running' });
    };
    const tpm = new GuestTpm(console);

    await hmp('savevm blank');
    const ek = await tpm.createEk();
    await tpm.takeOwnership(OWNER);
    await hmp('savevm owned');
    await hmp('loadvm blank');
    t.deepEqual(await sysfs(console, false), { owned: '0', ...ON });
    await t.throwsAsync(tpm.takeOwnership(OWNER), { message: /NO_ENDORSEMENT/ });
    await hmp('loadvm owned');
    t.deepEqual(await sysfs(console, false), { owned: '1', ...ON });
    t.is(await tpm.ownerReadsEk(OWNER), ek);
    t.is(await qemu.quit(), 0);
    const { exit, err } = await serving.ended();
    t.is(exit, 0);

    const adopted = readFileSync(trace, 'utf8')
      .split('\n')
      .filter(line => line.includes('"adopt"'))
      .map(line => JSON.parse(line) as { origin: string; replaced: number });
    t.deepEqual(
      adopted.map(({ origin }) => origin),
      ['roll-back', 'roll-back'],
    );
    const { nvram } = JSON.parse(nvtpm(['info', image, '--json']).out);
    const kept: number[] = nvram.kept;
    for (const { replaced } of adopted) {
      t.true(kept.includes(replaced), `${replaced} of ${kept}`);
      t.true(
        err.includes(`rolled back to a snapshot of the machine; generation ${replaced} keeps`),
      );
    }
  },
);
