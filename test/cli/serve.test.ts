/**
 * `nvtpm serve`: a TPM over TCP and Unix sockets. Where swtpm 0.7.1 does the same, what it was seen
 * to answer is what is expected here; docs/serve.md tells where the two differ.
 * @long
 */
import { existsSync, lstatSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { nvtpm } from '../../lab/program/cli.js';
import { Serving } from '../../lab/program/serving.js';
import { askAt, SwtpmSubject } from '../../lab/tools/subjects.js';
import { peerTest } from '../_peers.js';
import { newImage } from '../machine/_machines.js';
import { cli } from './_in-process.js';

const PCR_READ = '00c1 0000000e 00000015 00000000';
const PCR_ZERO = `00c40000001e00000000${'00'.repeat(20)}`;
const EXTEND = `00c1 00000022 00000014 00000000 ${'11'.repeat(20)}`;
const SAVE_STATE = '00c1 0000000a 00000098';
/** Both of TSC_PhysicalPresence, then TPM_PhysicalEnable, which stores. */
const CMD_ENABLE = '00c1 0000000c 4000000a 0020';
const PRESENT = '00c1 0000000c 4000000a 0008';
const ENABLE = '00c1 0000000a 0000006f';
const DISABLE = '00c1 0000000a 00000070';
const CLEAR = ['--flags', 'startup-clear'] as const;
const PORT_ANY = ['--server', 'type=tcp,port=0'] as const;

const done = (result: number): string => `00c40000000a${result.toString(16).padStart(8, '0')}`;

function madeImage(t: ExecutionContext): string {
  const image = join(scratch(t), 'tpm.qcow2');
  newImage(image);
  return image;
}

async function served(t: ExecutionContext, image: string, ...args: readonly string[]) {
  const serving = await Serving.start(image, ...args);
  t.teardown(() => serving.process.kill('SIGKILL'));
  return serving;
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`over TCP, several clients at once, until ${signal}`, async t => {
    const image = madeImage(t);
    const serving = await served(t, image, ...PORT_ANY, ...CLEAR);
    const [first, second] = [serving.client(), serving.client()];
    t.is(await first.ask(PCR_READ), PCR_ZERO);
    t.is(await second.ask(PCR_READ), PCR_ZERO);
    t.is(await first.ask(PCR_READ), PCR_ZERO);
    const { exit, out, err } = await serving.stop(signal);
    t.is(exit, 0, err);
    t.regex(out, /listening at 127\.0\.0\.1:\d+; .*\n.*ended by host-signal, generation \d+\n$/);
    await Promise.all([first.ended(), second.ended()]);
    const { nvram } = nvtpm(['info', image, '--json']).json() as never;
    t.like(nvram, { outcome: 'OK', mark: 'clean' });
  });
}

test('over a Unix socket of its owner, and none is left', async t => {
  const image = madeImage(t);
  const path = `${image}.sock`;
  const serving = await served(t, image, '--server', `type=unixio,path=${path}`, ...CLEAR);
  t.is(lstatSync(path).mode & 0o777, 0o600);
  t.is(await serving.ask(PCR_READ), PCR_ZERO);
  const { exit, out } = await serving.stop();
  t.is(exit, 0);
  t.true(out.includes(`listening at ${path};`));
  t.false(existsSync(path));
  const open = await served(t, image, '--server', `type=unixio,path=${path},mode=0666`);
  t.is(lstatSync(path).mode & 0o777, 0o666);
  await open.stop();
});

// biome-ignore format: table
const FLAGS: readonly [flags: string, answer: string][] = [
  ['not-need-init',                      done(0x26)],
  ['startup-none',                       done(0x26)],
  ['not-need-init,startup-clear',        PCR_ZERO],
  ['startup-clear',                      PCR_ZERO],
  ['startup-deactivated',                done(6)],
  ['startup-state',                      done(0x1c)],
];
for (const [flags, answer] of FLAGS) {
  test(`--flags ${flags}: a client's first PCR_Read is answered as swtpm answers it`, async t => {
    const serving = await served(t, madeImage(t), ...PORT_ANY, '--flags', flags);
    t.is(await serving.ask(PCR_READ), answer);
    t.is(serving.err.includes('startup-state was answered'), flags === 'startup-state');
  });
}

peerTest('swtpm answers so after the same flags', ['swtpm'], async t => {
  for (const [flags, answer] of FLAGS) {
    // Without this, swtpm waits for CMD_INIT on its control channel.
    const subject = new SwtpmSubject(scratch(t), `not-need-init,${flags}`);
    await subject.start();
    t.is(await askAt(subject.port, PCR_READ), answer, flags);
    await subject.kill();
  }
});

test('a saved state is there for startup-state, and what was not saved is gone', async t => {
  const image = madeImage(t);
  const first = await served(t, image, ...PORT_ANY, ...CLEAR);
  const extended = await first.ask(EXTEND);
  t.is(await first.ask(SAVE_STATE), done(0));
  await first.stop();
  const second = await served(t, image, ...PORT_ANY, '--flags', 'startup-state');
  t.is(await second.ask(PCR_READ), extended);
  await second.stop();
  const third = await served(t, image, ...PORT_ANY, ...CLEAR);
  t.is(await third.ask(PCR_READ), PCR_ZERO);
});

test('a killed server leaves what it acknowledged, and a socket that the next one replaces', async t => {
  const image = madeImage(t);
  const path = `${image}.sock`;
  const server = ['--server', `type=unixio,path=${path}`];
  const first = await served(t, image, ...server, ...CLEAR);
  const enabled = () => nvtpm(['info', image, '--json', '-U']).json() as unknown as Info;
  t.true(enabled().tpm.enabled);
  for (const command of [CMD_ENABLE, PRESENT, DISABLE]) t.is(await first.ask(command), done(0));
  await first.stop('SIGKILL');
  t.true(existsSync(path));
  t.false(enabled().tpm.enabled);
  const second = await served(t, image, ...server, '--expect-existing', ...CLEAR);
  for (const command of [PRESENT, ENABLE]) t.is(await second.ask(command), done(0));
  await second.stop();
  t.true(enabled().tpm.enabled);
});

interface Info {
  readonly tpm: { readonly enabled: boolean };
}

test('disconnect: one response a connection', async t => {
  const args = ['--server', 'type=tcp,port=0,disconnect', ...CLEAR];
  const serving = await served(t, madeImage(t), ...args);
  for (const _ of [1, 2]) {
    const client = serving.client();
    t.is(await client.ask(PCR_READ), PCR_ZERO);
    await client.ended();
  }
});

for (const server of ['type=tcp,port=0', 'type=tcp,port=0,disconnect']) {
  test(`--terminate: it ends with its client, with ${server}`, async t => {
    const args = ['--server', server, '--terminate', '--json', ...CLEAR];
    const serving = await served(t, madeImage(t), ...args);
    const client = serving.client();
    t.is(await client.ask(PCR_READ), PCR_ZERO);
    client.close();
    const { exit, out } = await serving.ended();
    t.is(exit, 0);
    t.is(JSON.parse(out).ended, 'client-gone');
  });
}

test('--pid: the file is there while it listens', async t => {
  const image = madeImage(t);
  const file = `${image}.pid`;
  const serving = await served(t, image, ...PORT_ANY, '--pid', `file=${file}`);
  t.is(readFileSync(file, 'utf8'), `${serving.process.pid}\n`);
  await serving.stop();
  t.false(existsSync(file));
});

test('two servers on one image: the second is LOCKED, the first still answers', async t => {
  const image = madeImage(t);
  const first = await served(t, image, ...PORT_ANY, ...CLEAR);
  const path = `${image}.sock`;
  const second = nvtpm(['serve', image, '--json', '--server', `type=unixio,path=${path}`]);
  t.is(second.exit, 9, second.err);
  t.like(second.json(), { error: { code: 'LOCKED' } } as never);
  t.false(existsSync(path));
  t.is(await first.ask(PCR_READ), PCR_ZERO);
});

test('an address in use changes nothing in the image', async t => {
  const image = madeImage(t);
  const before = readFileSync(image);
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise(resolve => taken.once('listening', resolve));
  t.teardown(() => taken.close());
  const { port } = taken.address() as { port: number };
  const path = `${image}.file`;
  writeFileSync(path, '');
  for (const server of [`type=tcp,port=${port}`, `type=unixio,path=${path}`]) {
    const { exit, err } = nvtpm(['serve', image, '--server', server]);
    t.is(exit, 12, err);
    t.regex(err, /cannot listen at .*; choose another/);
  }
  t.deepEqual(readFileSync(image), before);
  t.true(existsSync(path));
});

test('an image without a TPM is refused where one is expected', t => {
  const { exit } = nvtpm(['serve', madeImage(t), ...PORT_ANY, '--expect-existing']);
  t.is(exit, 3);
});

test('an encrypted store needs its key', async t => {
  const folder = scratch(t);
  const [image, password] = [join(folder, 'tpm.qcow2'), join(folder, 'pw')];
  writeFileSync(password, 'a password');
  const key = ['--key', `pwdfile=${password}`];
  nvtpm(['create', image, '--size', '1M', ...key]);
  t.is(nvtpm(['serve', image, ...PORT_ANY]).exit, 5);
  const serving = await served(t, image, ...PORT_ANY, ...CLEAR, ...key);
  t.is(await serving.ask(PCR_READ), PCR_ZERO);
});

test('an image that is deleted: TPM_FAIL, then failure mode, reported once', async t => {
  const image = madeImage(t);
  const serving = await served(t, image, ...PORT_ANY, ...CLEAR);
  for (const command of [CMD_ENABLE, PRESENT]) t.is(await serving.ask(command), done(0));
  rmSync(image);
  t.is(await serving.ask(DISABLE), done(9));
  t.is(await serving.ask(DISABLE), done(0x1c));
  t.is(await serving.ask(PCR_READ), done(0x1c));
  const { err } = await serving.stop();
  const reported = err.split('\n').filter(line => /failure mode/.test(line));
  t.is(reported.length, 1, err);
  t.regex(reported[0] ?? '', /ESTALE/);
});

// biome-ignore format: table
const BAD: readonly [args: readonly string[], why: RegExp][] = [
  [[],                                                    /--server or --ctrl is required/],
  [['--server', ''],                                      /a tcp address has no ""/],
  [['--server', 'type=vsock,port=1'],                     /unknown type "vsock"/],
  [['--server', 'type=tcp'],                              /the port is missing/],
  [['--server', 'port=65536'],                            /a port is 0 to 65535/],
  [['--server', 'port=-1'],                               /a port is 0 to 65535/],
  [['--server', 'port=1,port=2'],                         /port is given twice/],
  [['--server', 'port=1,path=/x'],                        /a tcp address has no "path"/],
  [['--server', 'port=1,bindaddr=localhost'],             /localhost is not an IP address/],
  [['--server', 'port=1,disconnect=maybe'],               /disconnect is true or false/],
  [['--server', 'type=unixio'],                           /the path is missing/],
  [['--server', 'type=unixio,path='],                     /the path is missing/],
  [['--server', 'type=unixio,path=x,port=1'],             /a unixio address has no "port"/],
  [['--server', 'type=unixio,path=x,mode=0999'],          /a mode is octal/],
  [['--server', 'type=unixio,path=x,mode=01777'],         /a mode is octal/],
  [[...PORT_ANY, '--flags', 'need-init'],                 /unknown flag "need-init"/],
  [[...PORT_ANY, '--flags', 'startup-constructor'],       /unknown flag "startup-constructor"/],
  [[...PORT_ANY, '--flags', 'startup-clear,startup-state'], /more than one startup flag/],
  [[...PORT_ANY, '--flags', 'startup-none,startup-none'], /more than one startup flag/],
  [['--ctrl', 'type=tcp,port=0,disconnect'],              /a tcp address has no "disconnect"/],
  [['--ctrl', 'type=unixio'],                             /invalid --ctrl .*the path is missing/],
  [['--ctrl', 'type=tcp,port=0', '--locality', 'allow-set-locality'], /invalid --locality .*expected reject-locality-4/],
  [[...PORT_ANY, '--migration', 'incoming'],              /--migration needs --ctrl/],
  [['--ctrl', 'type=tcp,port=0', '--migration', 'outgoing'], /unknown "outgoing"; expected incoming and release-lock-outgoing/],
  [['--ctrl', 'type=tcp,port=0', '--migration', 'incoming', '--flags', 'not-need-init'], /--migration incoming and --flags exclude each other/],
  [[...PORT_ANY, '--pid', '/run/x'],                      /invalid --pid "\/run\/x": expected file=PATH/],
];
test('invalid options are usage errors, and the image is not opened', async t => {
  for (const [args, why] of BAD) {
    const { exit, out, err } = await cli(['serve', 'no such image', ...args]);
    t.is(exit, 2, args.join(' '));
    t.regex(err, why);
    t.is(out, '');
  }
});

test('--migration incoming ends with the fault of the image before a machine has asked for anything', async t => {
  const folder = scratch(t);
  const image = join(folder, 'tpm.qcow2');
  const ctrl = ['--ctrl', `type=unixio,path=${join(folder, 'ctrl')}`, '--migration', 'incoming'];
  nvtpm(['create', image]);
  const encrypted = join(folder, 'encrypted.qcow2');
  writeFileSync(join(folder, 'key'), 'secret');
  nvtpm(['create', encrypted, '--key', `pwdfile=${join(folder, 'key')}`]);
  // Never used, and encrypted all the same.
  t.is(nvtpm(['serve', encrypted, ...ctrl]).exit, 5);
  // An empty image takes what arrives, unless a TPM is expected in it.
  t.is(nvtpm(['serve', image, ...ctrl, '--expect-existing']).exit, 3);
  const serving = await served(t, image, ...ctrl);
  t.is((await serving.stop()).exit, 0);
  truncateSync(image, 100_000);
  t.is(nvtpm(['serve', image, ...ctrl]).exit, 11);
});

test('a pid file that cannot be written is IO, and the TPM is closed in order', async t => {
  const image = madeImage(t);
  const run = nvtpm(['serve', image, ...PORT_ANY, '--pid', `file=${image}.d/pid`]);
  t.is(run.exit, 12);
  t.regex(run.err, /cannot write .*pid: there is no such file or directory/);
  const { nvram } = nvtpm(['info', image, '--json']).json() as never;
  t.like(nvram, { outcome: 'OK', mark: 'clean' });
});

test('a socket in a directory that does not exist is IO, in a sentence', async t => {
  const image = madeImage(t);
  const run = await cli(['serve', image, '--server', `type=unixio,path=${image}.d/socket`]);
  t.is(run.exit, 12);
  t.regex(run.err, /cannot listen at .*socket: there is no directory .*tpm\.qcow2\.d; choose/);
});
