/**
 * Files beside the image that disappear while `nvtpm serve` runs: the trace, and the folder of the pid
 * file. Neither ends the TPM.
 * @long
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { Serving } from '../../lab/program/serving.js';
import { newImage } from '../machine/_machines.js';

const PCR_READ = '00c1 0000000e 00000015 00000000';
const PCR_ZERO = `00c40000001e00000000${'00'.repeat(20)}`;

async function served(t: ExecutionContext, option: string, file: (image: string) => string) {
  const image = join(scratch(t), 'tpm.qcow2');
  newImage(image);
  const args = ['--server', 'type=tcp,port=0', '--flags', 'startup-clear'];
  const path = file(image);
  mkdirSync(dirname(path), { recursive: true });
  const value = option === '--pid' ? `file=${path}` : path;
  const serving = await Serving.start(image, ...args, option, value);
  t.teardown(() => serving.process.kill('SIGKILL'));
  return { serving, path };
}

test('a trace file that is deleted: the TPM answers, and the file is not made again', async t => {
  const { serving, path } = await served(t, '--trace', image => `${image}.trace`);
  t.is(await serving.ask(PCR_READ), PCR_ZERO);
  t.regex(readFileSync(path, 'utf8'), /"event":"command"/);
  rmSync(path);
  t.is(await serving.ask(PCR_READ), PCR_ZERO);
  const { exit, err } = await serving.stop();
  t.is(exit, 0, err);
  t.is(err, '');
  t.false(existsSync(path));
});

test('the folder of the pid file that is removed: the server ends as without it', async t => {
  const { serving, path } = await served(t, '--pid', image => join(`${image}.run`, 'pid'));
  t.is(readFileSync(path, 'utf8'), `${serving.process.pid}\n`);
  rmSync(dirname(path), { recursive: true });
  t.is(await serving.ask(PCR_READ), PCR_ZERO);
  const { exit, out, err } = await serving.stop();
  t.is(exit, 0, err);
  t.is(err, '');
  t.regex(out, /ended by host-signal, generation \d+\n$/);
});

test('a file in place of the folder of the pid file: the server ends in order, with a warning', async t => {
  const { serving, path } = await served(t, '--pid', image => join(`${image}.run`, 'pid'));
  rmSync(dirname(path), { recursive: true });
  writeFileSync(dirname(path), 'something else');
  const { exit, out, err } = await serving.stop();
  t.is(exit, 0, err);
  t.is(err, `nvtpm: ${path}: the pid file was not removed (ENOTDIR); remove it\n`);
  t.regex(out, /ended by host-signal, generation \d+\n$/);
  t.is(readFileSync(dirname(path), 'utf8'), 'something else');
});
