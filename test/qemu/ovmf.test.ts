/** @long OVMF in a real QEMU finds the TPM of `nvtpm serve --ctrl`, and measures into it. */
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { scratch } from '../../lab/files.js';
import { QemuSystem } from '../../lab/peers/qemu-system.js';
import { nvtpm } from '../../lab/program/cli.js';
import { Serving } from '../../lab/program/serving.js';
import { testUnlessMissing, which } from '../_peers.js';

/** Of Debian's package ovmf. */
const [CODE, VARIABLES] = ['CODE', 'VARS'].map(part => `/usr/share/OVMF/OVMF_${part}_4M.fd`) as [
  string,
  string,
];
const missing = [
  ...['qemu-system-x86_64'].filter(peer => which(peer) === undefined),
  ...[CODE, VARIABLES].filter(path => !existsSync(path)),
];

/** Up to the event that an OVMF without anything to boot measures last, as seen with swtpm. */
const EXTENDS = 16;

interface Traced {
  readonly event: string;
  readonly name?: string;
  readonly result?: number;
}

/** The complete lines of a trace that is being written. */
const commandsIn = (path: string): Traced[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Traced)
    .filter(({ event }) => event === 'command');

testUnlessMissing('OVMF finds the TPM, starts it and measures into it', missing, async t => {
  const folder = scratch(t);
  const at = (name: string): string => join(folder, name);
  const [image, ctrl, trace] = [at('tpm.qcow2'), at('ctrl'), at('trace')];
  nvtpm(['create', image]);
  const serving = await Serving.start(
    ...([image, '--ctrl', `type=unixio,path=${ctrl}`, '--trace', trace] as const),
  );
  t.teardown(() => serving.process.kill('SIGKILL'));
  copyFileSync(VARIABLES, at('variables'));
  // biome-ignore format: one option and its value a line
  const qemu = await QemuSystem.start(t, ctrl,
    '-m', '256',
    '-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${CODE}`,
    '-drive', `if=pflash,unit=1,format=raw,file=${at('variables')}`,
  );
  const measured = (): number =>
    commandsIn(trace).filter(({ name }) => name === 'TPM_Extend').length;
  while (measured() < EXTENDS && qemu.process.exitCode === null) await sleep(50);
  const commands = commandsIn(trace);
  const names = commands.map(({ name }) => name);
  t.is(
    names.find(name => name !== 'TPM_GetTicks'),
    'TPM_Startup',
  );
  t.true(names.includes('TPM_ContinueSelfTest'));
  t.is(measured(), EXTENDS);
  // It probes for a TPM 1.2 before it starts the TPM.
  const refused = commands.filter(({ result }) => result !== 0).map(({ name }) => name);
  t.deepEqual(refused, ['TPM_GetTicks']);
  t.is(await qemu.quit(), 0);
  t.is((await serving.ended()).exit, 0);
});
