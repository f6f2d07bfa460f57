/**
 * A real QEMU migrates to another one over an image that both TPM servers use: what the user sees at both
 * ends, which machine runs, and what is on the disk (the table of docs/qemu.md).
 * @long
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { flipPermanentState } from '../../lab/damage/blob.js';
import { scratch } from '../../lab/files.js';
import { QemuSystem } from '../../lab/peers/qemu-system.js';
import { nvtpm } from '../../lab/program/cli.js';
import { peerTest } from '../_peers.js';
import {
  BOOTED,
  ended,
  MESSAGE,
  made,
  onceBefore,
  PCR_READ,
  QEMU,
  type Served,
  served,
  setReturnPath,
  TPM_FAIL,
  waiting,
} from './_migrating.js';

const OUT = ['--migration', 'release-lock-outgoing'];
const IN = ['--migration', 'incoming,release-lock-outgoing'];

interface Source extends Served {
  readonly image: string;
  readonly key: readonly string[];
  readonly qemu: QemuSystem;
  /** The response to TPM_PcrRead once the firmware has booted. */
  readonly pcr: string;
}

/** A machine that has booted, on an encrypted image. */
async function booted(t: ExecutionContext): Promise<Source> {
  const secret = join(scratch(t), 'secret');
  writeFileSync(secret, 'secret');
  const key = ['--key', `pwdfile=${secret}`];
  const image = made(t, ...key);
  const server = await served(t, image, ...key, ...OUT);
  const qemu = await QemuSystem.start(t, server.path);
  await setReturnPath(qemu, true);
  await qemu.says(BOOTED);
  const pcr = await qemu.tpm(PCR_READ);
  t.is(pcr.slice(12, 20), '00000000');
  return { ...server, image, key, qemu, pcr };
}

/** The source runs, and its TPM is as it was. */
async function runsOn(t: ExecutionContext, { qemu, pcr }: Source, what: string): Promise<void> {
  await qemu.becomes('running');
  t.is(await qemu.tpm(PCR_READ), pcr, what);
}

/** The image of a machine that has ended is sound. */
function demandSound(t: ExecutionContext, { image, key }: Source): void {
  const { exit, out, err } = nvtpm(['check', image, ...key]);
  t.is(exit, 0, out + err);
}

peerTest(
  'the source runs on whatever keeps the destination from taking over; then it migrates',
  [QEMU],
  async t => {
    const source = await booted(t);
    const { image, key } = source;

    let repair = flipPermanentState(image);
    const path = join(scratch(t), 'never');
    const at = ['--ctrl', `type=unixio,path=${path}`];
    t.is(nvtpm(['serve', image, ...key, ...at, ...IN]).exit, 4);
    repair();
    await runsOn(t, source, 'a corrupt blob before the start');

    t.is(nvtpm(['serve', image, ...at, ...IN]).exit, 5);
    const other = join(scratch(t), 'other');
    writeFileSync(other, 'other');
    t.is(nvtpm(['serve', image, '--key', `pwdfile=${other}`, ...at, ...IN]).exit, 6);
    await runsOn(t, source, 'a wrong key');

    await refused(t, source, 'a corrupt blob between', {
      message: MESSAGE.SET_STATEBLOB,
      act: () => {
        repair = flipPermanentState(image);
      },
      log: /CMD_SET_STATEBLOB was answered 0x9: .*digest is wrong/,
    });
    await foundBySource(t, source);
    repair();

    await refused(t, source, 'the destination killed before INIT', {
      message: MESSAGE.INIT,
      act: ({ serving }) => void serving.process.kill('SIGKILL'),
    });
    await cancelled(t, source);
    await continuedWithoutReturnPath(t, source);
    await migrates(t, source);
  },
);

interface Fault {
  /** Before this message of the destination's QEMU passes, `act` is called. */
  readonly message: string;
  readonly act: (target: Served) => void;
  /** What the destination's server says. */
  readonly log?: RegExp;
}

/** A migration that the destination cannot accept: its QEMU ends, and the source runs on. */
async function refused(
  t: ExecutionContext,
  source: Source,
  what: string,
  { message, act, log }: Fault,
): Promise<void> {
  const target = await served(t, source.image, ...source.key, ...IN);
  onceBefore(target.relay, message, 'message', () => act(target));
  const { qemu, uri } = await waiting(t, target.path);
  await source.qemu.run('migrate', { uri });
  t.is(await ended(source.qemu), 'failed', what);
  t.is(await qemu.exited(), 1, what);
  await runsOn(t, source, what);
  if (log !== undefined) t.regex(target.serving.err, log, what);
  target.serving.process.kill('SIGKILL');
  await target.serving.ended();
}

/** The source finds the damage itself. QEMU 7.2 would not survive a refusal, so the destination refuses. */
async function foundBySource(t: ExecutionContext, source: Source): Promise<void> {
  const target = await served(t, made(t), ...IN);
  const { qemu, uri } = await waiting(t, target.path);
  await source.qemu.run('migrate', { uri });
  t.is(await ended(source.qemu), 'failed');
  t.is(await qemu.exited(), 1);
  await runsOn(t, source, 'a corrupt blob at the source');
  t.regex(source.serving.err, /the permall blob is sent as an unusable one, .*digest is wrong/);
  t.regex(target.serving.err, /CMD_SET_STATEBLOB was answered 0x/);
}

/** migrate_cancel while memory is sent: the TPM is not asked for anything. */
async function cancelled(t: ExecutionContext, source: Source): Promise<void> {
  const target = await served(t, source.image, ...source.key, ...IN);
  const { qemu, uri } = await waiting(t, target.path);
  await source.qemu.run('migrate-set-parameters', { 'max-bandwidth': 1 });
  await source.qemu.run('migrate', { uri });
  await source.qemu.run('migrate_cancel');
  t.is(await ended(source.qemu), 'cancelled');
  t.is(await qemu.exited(), 1);
  await source.qemu.run('migrate-set-parameters', { 'max-bandwidth': 2 ** 30 });
  await runsOn(t, source, 'migrate_cancel');
  t.is((await target.serving.stop()).exit, 0);
}

/** Without return-path the source believes that it has migrated: the user continues it. */
async function continuedWithoutReturnPath(t: ExecutionContext, source: Source): Promise<void> {
  await setReturnPath(source.qemu, false);
  const target = await served(t, source.image, ...source.key, ...IN);
  onceBefore(target.relay, MESSAGE.INIT, 'message', () => {
    target.serving.process.kill('SIGKILL');
  });
  const { qemu, uri } = await waiting(t, target.path, { returnPath: false });
  await source.qemu.run('migrate', { uri });
  t.is(await ended(source.qemu), 'completed');
  t.is(await qemu.exited(), 1);
  await source.qemu.becomes('postmigrate');
  await source.qemu.run('cont');
  await runsOn(t, source, 'without return-path, continued');
  await setReturnPath(source.qemu, true);
}

/** The migration that succeeds; a source that is continued after it has no TPM. */
async function migrates(t: ExecutionContext, source: Source): Promise<void> {
  const target = await served(t, source.image, ...source.key, ...IN);
  const { qemu, uri } = await waiting(t, target.path);
  await source.qemu.run('migrate', { uri });
  t.is(await ended(source.qemu), 'completed');
  await qemu.becomes('running');
  t.is(await qemu.tpm(PCR_READ), source.pcr);
  await source.qemu.becomes('postmigrate');
  await source.qemu.run('cont');
  await source.qemu.becomes('running');
  t.is(await source.qemu.tpm(PCR_READ), TPM_FAIL);
  t.regex(source.serving.err, /CMD_LOCK_STORAGE was answered 0x9: .*has taken the image over/);
  // A reset needs the TPM: QEMU ends, maybe before it has answered.
  await source.qemu.run('system_reset').catch(() => {});
  t.is(await source.qemu.exited(), 1);
  t.is(await qemu.tpm(PCR_READ), source.pcr);
  await qemu.run('system_reset');
  await qemu.says(BOOTED);
  t.is(await qemu.quit(), 0);
  t.is((await target.serving.ended()).exit, 0);
  demandSound(t, source);
}

peerTest(
  'a source that is killed after the hand-over leaves its TPM to the destination',
  [QEMU],
  async t => {
    const source = await booted(t);
    const target = await served(t, source.image, ...source.key, ...IN);
    onceBefore(source.relay, MESSAGE.GET_SAVESTATE, 'response', async () => {
      source.serving.process.kill('SIGKILL');
      await source.serving.ended();
    });
    const { qemu, uri } = await waiting(t, target.path);
    await source.qemu.run('migrate', { uri });
    t.is(await ended(source.qemu), 'completed');
    await qemu.becomes('running');
    t.is(await qemu.tpm(PCR_READ), source.pcr);
    await source.qemu.kill();
    t.is(await qemu.quit(), 0);
    t.is((await target.serving.ended()).exit, 0);
    demandSound(t, source);
  },
);

peerTest(
  'a destination that is killed once it has the image leaves a source without a TPM, and a sound image',
  [QEMU],
  async t => {
    const source = await booted(t);
    const target = await served(t, source.image, ...source.key, ...IN);
    onceBefore(target.relay, MESSAGE.INIT, 'lost response', async () => {
      target.serving.process.kill('SIGKILL');
      await target.serving.ended();
    });
    const { qemu, uri } = await waiting(t, target.path);
    await source.qemu.run('migrate', { uri });
    t.is(await ended(source.qemu), 'failed');
    t.is(await qemu.exited(), 1);
    await source.qemu.becomes('running');
    t.is(await source.qemu.tpm(PCR_READ), TPM_FAIL);
    await source.qemu.kill();
    await source.serving.stop();
    demandSound(t, source);
    const next = await served(t, source.image, ...source.key);
    const cold = await QemuSystem.start(t, next.path);
    await cold.says(BOOTED);
    t.is(await cold.quit(), 0);
  },
);
