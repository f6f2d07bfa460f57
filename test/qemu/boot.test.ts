/** @long A real QEMU boots its firmware on `nvtpm serve --ctrl`, with the control messages that swtpm gets. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { ControlClient } from '../../lab/peers/control.js';
import { ControlRelay } from '../../lab/peers/control-relay.js';
import { QemuSystem } from '../../lab/peers/qemu-system.js';
import { swtpmSocket } from '../../lab/peers/swtpm-socket.js';
import { nvtpm } from '../../lab/program/cli.js';
import { Serving } from '../../lab/program/serving.js';
import { peerTest } from '../_peers.js';

const LOCKED = 9;
const QEMU = 'qemu-system-x86_64';
/** What SeaBIOS says once it has measured what it will boot, and has found nothing to boot. */
const BOOTED = 'No bootable device';

async function served(t: ExecutionContext, image: string, ...more: readonly string[]) {
  const ctrl = join(scratch(t), 'ctrl');
  const serving = await Serving.start(image, '--ctrl', `type=unixio,path=${ctrl}`, ...more);
  t.teardown(() => serving.process.kill('SIGKILL'));
  return { ctrl, serving };
}

function made(t: ExecutionContext): string {
  const image = join(scratch(t), 'tpm.qcow2');
  nvtpm(['create', image]);
  return image;
}

interface Traced {
  readonly event: string;
  readonly name?: string;
  readonly result?: number;
}
const tracedIn = (path: string): Traced[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Traced);

peerTest(
  'SeaBIOS finds the TPM, starts it and measures into it; a reset starts it again; quit ends both',
  [QEMU],
  async t => {
    const trace = join(scratch(t), 'trace');
    const { ctrl, serving } = await served(t, made(t), '--trace', trace);
    const qemu = await QemuSystem.start(t, ctrl);
    t.like(await qemu.run('query-tpm'), [{ model: 'tpm-tis', options: { type: 'emulator' } }]);
    await qemu.says(BOOTED);
    const commands = (): Traced[] => tracedIn(trace).filter(({ event }) => event === 'command');
    const first = commands();
    t.is(first[0]?.name, 'TPM_Startup');
    t.true(first.filter(({ name }) => name === 'TPM_Extend').length >= 8);
    // TPM_BAD_PARAMETER of a TPM whose physical presence by command is not enabled yet.
    const refused = first.filter(({ result }) => result !== 0);
    t.deepEqual([...new Set(refused.map(({ name }) => name))], ['TSC_PhysicalPresence']);
    await qemu.run('system_reset');
    await qemu.says(BOOTED, 2);
    t.true(commands().filter(({ name }) => name === 'TPM_Startup').length >= 2);
    t.is(await qemu.quit(), 0);
    const { exit, out } = await serving.ended();
    t.is(exit, 0);
    t.regex(out, /ended by control-shutdown/);
  },
);

/** A boot, a reset and the end, as the control channel sees them: `>` to the backend, `<` from it. */
async function recorded(t: ExecutionContext, backend: string): Promise<readonly string[]> {
  const path = join(scratch(t), 'relay');
  const relay = await ControlRelay.open(t, path, backend);
  const qemu = await QemuSystem.start(t, path);
  await qemu.says(BOOTED);
  await qemu.run('system_reset');
  await qemu.says(BOOTED, 2);
  await qemu.quit();
  return withoutRepeats(relay.passed.map(({ from, hex }) => (from === 'qemu' ? '>' : '<') + hex));
}

/** The responses to GET_CAPABILITY. */
const CAPABILITIES = { swtpm: '<0000000000007fff', ours: '<0000000000017fbf' };

/** STOP, SET_BUFFERSIZE, STOP, SET_BUFFERSIZE and INIT, with their responses. */
const RESET_MESSAGES = 10;

/** SeaBIOS resets the machine again by itself, as often as it likes: one reset stands for several. */
function withoutRepeats(passed: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (const message of passed) {
    kept.push(message);
    const [before, last] = [
      kept.slice(-2 * RESET_MESSAGES, -RESET_MESSAGES),
      kept.slice(-RESET_MESSAGES),
    ];
    const isRepeat = last[0] === '>0000000e' && last.every((each, i) => each === before[i]);
    if (isRepeat) kept.length -= RESET_MESSAGES;
  }
  return kept;
}

peerTest(
  'start, boot, reset and quit: the control channel carries the bytes that it carries with swtpm',
  [QEMU, 'swtpm'],
  async t => {
    const swtpm = await recorded(t, (await swtpmSocket(t)).ctrl);
    const { ctrl } = await served(t, made(t));
    const ours = await recorded(t, ctrl);
    // Without STORE_VOLATILE (bit 6), which QEMU never sends; with LOCK_STORAGE (bit 16), which it sends
    // after a save only.
    const expected = swtpm.map(line => (line === CAPABILITIES.swtpm ? CAPABILITIES.ours : line));
    t.true(expected.length >= 38);
    t.deepEqual(ours, expected);
  },
);

peerTest(
  'a QEMU that is killed is a power cut: the image is released, and the next one boots on it',
  [QEMU],
  async t => {
    const image = made(t);
    const { ctrl, serving } = await served(t, image);
    const qemu = await QemuSystem.start(t, ctrl);
    await qemu.says(BOOTED);
    t.is(nvtpm(['exec', image, '00c10000000c000000990001']).exit, LOCKED);
    await qemu.kill();
    while (!/its image released/.test(serving.err))
      await new Promise(resolve => setImmediate(resolve));
    t.is(nvtpm(['check', image]).exit, 0);
    const next = await QemuSystem.start(t, ctrl);
    await next.says(BOOTED);
    // A second machine on one backend.
    const second = await ControlClient.open(ctrl);
    await second.closed();
    t.is(await next.quit(), 0);
    t.is((await serving.ended()).exit, 0);
  },
);
