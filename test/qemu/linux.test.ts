/**
 * A stock Linux kernel in a real QEMU drives the TPM of `nvtpm serve --ctrl` with its own driver: the
 * kernel and the user space of examples/v86-linux.
 * @long
 */
import { join } from 'node:path';
import { GuestTpm } from '../../examples/v86-linux/guest.js';
import { kernelLog, sysfs } from '../../examples/v86-linux/sysfs.js';
import { scratch } from '../../lab/files.js';
import { nvtpm } from '../../lab/program/cli.js';
import { Serving } from '../../lab/program/serving.js';
import { secretOf } from '../../src/guest/index.js';
import { testUnlessMissing } from '../_peers.js';
import { bootLinux, missingForLinux } from './_linux.js';

const OWNER = secretOf('the owner of the test');
const ON = { enabled: '1', active: '1' };

testUnlessMissing(
  'Linux in QEMU: the EK and the owner that came by /dev/tpm0 survive SIGKILL of machine and server',
  missingForLinux(),
  async t => {
    const image = join(scratch(t), 'tpm.qcow2');
    nvtpm(['create', image]);
    const booted = async () => {
      const ctrl = join(scratch(t), 'ctrl');
      const serving = await Serving.start(image, '--ctrl', `type=unixio,path=${ctrl}`);
      t.teardown(() => serving.process.kill('SIGKILL'));
      const linux = await bootLinux(t, ctrl);
      const { messages, complaints } = await kernelLog(linux.console);
      const isProbed = messages.some(line => /tpm_tis .*: 1\.2 TPM \(device-id 0x1/.test(line));
      t.true(isProbed, messages.join('\n'));
      t.deepEqual(complaints, []);
      return { ...linux, serving, tpm: new GuestTpm(linux.console) };
    };

    const first = await booted();
    t.deepEqual(await sysfs(first.console, false), { owned: '0', ...ON });
    const ek = await first.tpm.createEk();
    t.regex(ek, /^[0-9a-f]{512}$/);
    t.deepEqual(await sysfs(first.console, true), { owned: '0', ...ON, pubek: ek });
    await first.tpm.takeOwnership(OWNER);
    t.deepEqual(await sysfs(first.console, false), { owned: '1', ...ON });
    const killed = first.serving.stop('SIGKILL');
    await first.qemu.kill();
    await killed;

    const second = await booted();
    t.deepEqual(await sysfs(second.console, false), { owned: '1', ...ON });
    t.is(await second.tpm.ownerReadsEk(OWNER), ek);
    await t.throwsAsync(second.tpm.ownerReadsEk(secretOf('a wrong secret')), {
      message: /AUTHFAIL/,
    });
    t.is(await second.qemu.quit(), 0);
    t.is((await second.serving.ended()).exit, 0);
    t.is(nvtpm(['check', image]).exit, 0);
  },
);
