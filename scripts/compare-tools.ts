/**
 * trousers and tpm-tools before swtpm and before this engine: every tool must have the same exit code
 * and say the same, but for the bytes of keys. As root, since tcsd drops to its own user:
 *
 *     node dist/scripts/compare-tools.js
 *
 * Needs swtpm, tpm-tools and trousers (scripts/peers.sh).
 * @module
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { serveTpm } from '../src/server/tpm-socket.js';
import { commands, PRESENCE, plain, STARTUP } from '../src/testing/guest/index.js';
import { Tpm12 } from '../src/tpm/tpm12/engine.js';
import { Swtpm } from '../test/_swtpm.js';
import { MemoryNvram } from '../test/tpm/_memory-nvram.js';

const TCSD_PORT = 30_104;
const INDEX = '0x00011101';

/** A power cut between tools. */
const POWER_CUT = ['(power cut)'] as const;
/** `%` stands for the folder that the tools may write to. */
const TOOLS: readonly (readonly [string, ...string[]])[] = [
  ['tpm_version'],
  ['tpm_selftest'],
  ['tpm_selftest', '-r'],
  ['tpm_createek'],
  ['tpm_getpubek'],
  ['tpm_takeownership', '-y', '-z'],
  ['tpm_getpubek', '-z'],
  ['tpm_setenable', '-s', '-z'],
  ['tpm_setownable', '-s', '-z'],
  ['tpm_setactive', '-s', '-z'],
  ['tpm_setclearable', '-s', '-z'],
  ['tpm_restrictpubek', '-s', '-z'],
  ['tpm_restrictpubek', '-r', '-z'],
  ['tpm_restrictsrk', '-s', '-z'],
  ['tpm_restrictsrk', '-a', '-z'],
  ['tpm_restrictsrk', '-r', '-z'],
  ['tpm_resetdalock', '-z'],
  ['tpm_nvdefine', '-i', INDEX, '-s', '64', '-p', 'OWNERREAD|OWNERWRITE', '-y'],
  ['tpm_nvwrite', '-i', INDEX, '-s', '8', '-d', 'nv-data!', '-z'],
  ['tpm_nvread', '-i', INDEX, '-s', '8', '-z'],
  ['tpm_nvinfo', '-i', INDEX],
  ['tpm_sealdata', '-z', '-p', '10', '-i', '%/clear', '-o', '%/sealed'],
  ['tpm_unsealdata', '-z', '-i', '%/sealed', '-o', '%/unsealed'],
  ['cmp', '%/clear', '%/unsealed'],
  ['tpm_setenable', '-e', '-z'],
  ['tpm_setclearable', '-f'],
  POWER_CUT,
  ['tpm_nvread', '-i', INDEX, '-s', '8', '-z'],
  ['tpm_unsealdata', '-z', '-i', '%/sealed', '-o', '%/unsealed-again'],
  ['cmp', '%/clear', '%/unsealed-again'],
  ['tpm_getpubek', '-z'],
  ['tpm_nvrelease', '-i', INDEX, '-y'],
  ['tpm_clear', '-z'],
  ['tpm_version'],
];

interface Subject {
  process(request: Uint8Array): Uint8Array;
  powerCut(): void;
  stop(): void;
}

function swtpmSubject(folder: string): Subject {
  mkdirSync(folder);
  const tpm = new Swtpm(folder);
  return { process: tpm.transmit, powerCut: () => tpm.restart(), stop: () => tpm.stop() };
}

function ownSubject(): Subject {
  const nvram = new MemoryNvram();
  const tpm = new Tpm12({
    entropy: length => new Uint8Array(randomBytes(length)),
    clock: () => Math.floor(performance.now() * 1000),
  });
  tpm.init(nvram);
  const subject = {
    process: (request: Uint8Array) => tpm.process(request, 0),
    powerCut: () => tpm.init(nvram),
    stop: () => tpm.close(),
  };
  return subject;
}

function start(subject: Subject): void {
  for (const command of [
    commands.startup(STARTUP.CLEAR),
    commands.physicalPresence(PRESENCE.CMD_ENABLE),
    commands.physicalPresence(PRESENCE.PRESENT),
  ]) {
    subject.process(plain(command).request);
  }
}

interface Outcome {
  readonly tool: string;
  readonly code: number | null;
  readonly output: string;
}

/** Runs a program to its end. */
async function run(program: string, args: readonly string[]): Promise<Omit<Outcome, 'tool'>> {
  const child = spawn(program, args, {
    env: { ...process.env, TSS_TCSD_PORT: String(TCSD_PORT) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', text => {
      output += text;
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output: masked(output) };
}

/** Bytes of keys are of each TPM alone, and tpm_version begins with memory that nobody wrote. */
const masked = (output: string): string =>
  output.replace(/(?:[0-9a-f]{8} ?){4,}/gi, '…').replace(/^.*?(?= {2}TPM 1\.2 Version Info)/s, '');

async function startTcsd(folder: string, port: number) {
  const data = join(folder, 'data');
  const config = join(folder, 'tcsd.conf');
  mkdirSync(data, { recursive: true });
  writeFileSync(config, `port = ${TCSD_PORT}\nsystem_ps_file = ${join(data, 'system.data')}\n`);
  await run('chown', ['tss:tss', data]);
  await run('chmod', ['700', data]);
  await run('chown', ['root:tss', config]);
  await run('chmod', ['640', config]);
  const tcsd = spawn('tcsd', ['-e', '-f', '-c', config], {
    env: { ...process.env, TCSD_TCP_DEVICE_PORT: String(port) },
    stdio: 'ignore',
  });
  await sleep(1500);
  return tcsd;
}

async function outcomes(make: (folder: string) => Subject): Promise<Outcome[]> {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-tools-'));
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'clear'), 'what is sealed');
  const subject = make(join(folder, 'state'));
  start(subject);
  const server = await serveTpm({
    process: request => subject.process(request),
    address: { type: 'tcp', port: 0 },
    fail: error => {
      throw error;
    },
  });
  let tcsd = await startTcsd(folder, server.port!);
  const found: Outcome[] = [];
  const restart = async (): Promise<void> => {
    tcsd.kill();
    await once(tcsd, 'exit');
    subject.powerCut();
    start(subject);
    tcsd = await startTcsd(folder, server.port!);
  };
  try {
    for (const tool of TOOLS) {
      if (tool === POWER_CUT) {
        await restart();
        continue;
      }
      const [name, ...args] = tool;
      const done = await run(
        name,
        args.map(arg => arg.replace('%', folder)),
      );
      found.push({ tool: tool.join(' '), ...done, output: done.output.replaceAll(folder, '%') });
    }
  } finally {
    tcsd.kill();
    await server.close();
    subject.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  return found;
}

const theirs = await outcomes(swtpmSubject);
const ours = await outcomes(ownSubject);
let differences = 0;
theirs.forEach((expected, at) => {
  const found = ours[at]!;
  const same = expected.code === found.code && expected.output === found.output;
  if (!same) differences += 1;
  console.log(`${same ? 'same' : 'DIFFERENT'}: ${expected.tool} (exit code ${expected.code})`);
  if (!same) console.log({ expected, found });
});
console.log(JSON.stringify({ tools: theirs.length, differences }));
process.exit(differences > 0 ? 1 : 0);
