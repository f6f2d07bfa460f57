/** The run states of a host, as the ends of a migration and the failures of the image lead to them. */
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { openImage, takeGuard } from '../../src/block/index.js';
import { commands, STARTUP } from '../../src/guest/index.js';
import { NvramError } from '../../src/nvram/index.js';
import { Host } from '../../src/server/host.js';
import { systemClock as clock } from '../../src/system.js';
import { noTrace } from '../../src/trace.js';
import { guestOf, inStore, machineOn, newImage } from '../machine/_machines.js';

interface Running {
  readonly host: Host;
  readonly path: string;
  readonly events: string[];
}

function running(t: ExecutionContext, more: Parameters<typeof machineOn>[1] = {}): Running {
  const path = join(scratch(t), 'tpm.qcow2');
  newImage(path);
  const image = openImage(path);
  t.teardown(() => image.close());
  const host = new Host({
    machine: irq => machineOn(image, { irq, ...more }),
    trace: noTrace,
    now: clock,
  });
  const events: string[] = [];
  host.onEvent(({ event }) => events.push(event));
  host.powerOn();
  return { host, path, events };
}

/** Listens where a machine is to arrive, and acts on the first connection once the manifest is there. */
function target(t: ExecutionContext, act: (socket: Socket) => void): string {
  const path = join(scratch(t), 's');
  const server = createServer(socket => {
    socket.on('error', () => {});
    socket.once('data', () => act(socket));
  });
  server.listen(path);
  t.teardown(() => server.close());
  return path;
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(resolve => setTimeout(resolve, 1));
}

test('stuck: while a reader holds the guard the host retries, and runs again once it is released (B6)', async t => {
  const { host, path, events } = running(t);
  using backup = openImage(path, { readOnly: true });
  let guard: { release(): void } | undefined;
  const to = target(t, socket => {
    guard = takeGuard(backup, 'reader');
    socket.destroy();
  });
  host.migrate(to);
  await until(() => host.migration?.status === 'failed');
  t.regex(host.migration?.why ?? '', /cannot be asked/);
  // Never `running` without registers.
  t.is(host.state, 'finish-migrate');
  t.is(host.tis, undefined);
  t.throws(() => host.resume());
  t.throws(() => host.reset());
  t.deepEqual(events, ['STOP']);
  guard!.release();
  await until(() => host.state !== 'finish-migrate');
  t.is(host.state, 'running');
  t.not(host.tis, undefined);
  t.deepEqual(events, ['STOP', 'RESUME']);
  host.reset();
  host.quit('host-signal');
  t.is(await host.ended, 'host-signal');
  host.machine.powerOff();
});

test('quit ends the retries; the image stays handed over', async t => {
  const { host, path } = running(t);
  using backup = openImage(path, { readOnly: true });
  const to = target(t, socket => {
    takeGuard(backup, 'reader');
    socket.destroy();
  });
  host.migrate(to);
  await until(() => host.migration?.status === 'failed');
  host.quit('host-qmp-quit');
  t.is(await host.ended, 'host-qmp-quit');
  t.is(host.machine.power, 'handed over');
  host.machine.powerOff();
  t.is(host.machine.power, 'off');
});

test('kept: a target that answers yes and takes nothing leaves the host running', async t => {
  const { host, events } = running(t);
  host.migrate(target(t, socket => socket.write('{"taken":true}\n')));
  await until(() => host.migration?.status !== 'active');
  t.like(host.migration, { status: 'failed' });
  t.is(host.state, 'running');
  t.deepEqual(events, ['STOP', 'RESUME']);
  host.machine.powerOff();
});

test('fenced: a target that took over without an answer leaves the host in postmigrate', async t => {
  const { host, path } = running(t);
  using other = openImage(path);
  const to = target(t, socket => {
    // Any activation is a later epoch.
    inStore(other, () => {});
    socket.destroy();
  });
  host.migrate(to);
  await until(() => host.migration?.status !== 'active');
  t.like(host.migration, { status: 'failed' });
  t.is(host.state, 'postmigrate');
  t.is(host.machine.power, 'gone');
});

test('a host whose TPM was taken over while it runs ends with FENCED', async t => {
  const { host, path } = running(t, { imageLock: 'off' });
  using other = openImage(path);
  const guest = guestOf(host.machine);
  guest.run(commands.startup(STARTUP.CLEAR));
  const rival = machineOn(other, { imageLock: 'off' });
  rival.powerOn();
  t.throws(() => guest.run(commands.physicalPresence(0x20)));
  await t.throwsAsync(host.ended, { instanceOf: NvramError, code: 'FENCED' });
  host.machine.cutPower();
  rival.powerOff();
});
