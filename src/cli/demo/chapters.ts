/**
 * What the demonstration shows: each step is a process of its own, and a claim holds only if the
 * evidence of the steps fits together.
 * @module
 */
import { NV_TEXT, WRONG_SECRET_RESULT } from './guest.js';
import type { Alive, Blank, Damage, Left, Owned, Proof, Running, Survived } from './steps.js';
import type { Compared, Story } from './story.js';

const sequence = (events: readonly string[]): string => events.join(' → ');

const compared = (what: string, before: string, now: string): Compared => ({ what, before, now });

/** @returns the EK @throws StepError */
export async function coldRestarts(story: Story, maker: string): Promise<string> {
  story.next('a blank TPM creates its Endorsement Key');
  const blank = await story.run<Blank>('blank');
  const { ek } = blank;
  story.tell(
    'A blank image becomes a TPM, and the TPM creates its Endorsement Key',
    blank.before === 'EMPTY',
    [
      `image made by ${maker}; its store was ${blank.before}`,
      `EK ${ek}`,
      `generation ${blank.generation}: ${sequence(blank.store)}`,
    ],
    blank,
  );

  story.next('cold restart; taking ownership');
  const own = await story.run<Owned>('own');
  story.tell(
    'Cold restart: the EK is there, and an owner takes the TPM',
    own.ek === ek && own.owned,
    [compared('EK', ek, own.ek), `owned: ${own.owned}`],
    own,
  );

  story.next('cold restart; using the owner’s secret');
  const prove = await story.run<Proof>('prove');
  story.tell(
    'Cold restart: the owner’s secret works, a wrong one does not',
    prove.ek === ek && prove.stranger.result === WRONG_SECRET_RESULT,
    [
      compared('EK', ek, prove.ek),
      `a wrong secret is answered ${prove.stranger.name} (0x${prove.stranger.result.toString(16)})`,
      `the owner writes an NV index, generation ${prove.generation}: ${sequence(prove.store)}`,
    ],
    prove,
  );
  return ek;
}

/** @throws StepError */
export async function migrations(story: Story): Promise<void> {
  story.next('a machine runs, and its stored state is damaged');
  const source = story.start('source');
  const running = await source.next<Running>();
  const damage = await story.run<Damage>('damage');
  const corrupt = story.start('target');
  const error = await corrupt.refusal();
  await corrupt.ended();
  const alive = await source.ask<Alive>('probe');
  story.tell(
    'Migration: the target finds a corrupt blob and gives up, the source runs on',
    error?.code === 'CORRUPT' && alive.power === 'on' && alive.pcr === running.pcr,
    [
      `byte ${damage.byte} of blob ${damage.blob} (offset ${damage.offset}): ${damage.was} became ${damage.is}`,
      `the target: ${error === undefined ? 'no error' : `${error.code}, exit code ${error.exitCode}`}`,
      compared('PCR 10 of the source', short(running.pcr), short(alive.pcr)),
    ],
    { damage, target: { exit: error?.exitCode ?? 0, error }, source: alive },
  );

  story.next('the next store repairs the image, and the migration succeeds');
  const healed = await source.ask<{ readonly generation: number }>('write');
  const target = story.start('target');
  await target.next();
  const left = await source.ask<Left>(`migrate ${story.socket}`);
  const arrived = await target.next<Alive>();
  await target.ended();
  const gone = await source.ask<Alive>('probe');
  story.tell(
    'Migration: the source has stored again, and the target takes over',
    left.migrated && arrived.pcr === running.pcr && gone.power === 'gone',
    [
      `generation ${healed.generation} replaces the damaged one`,
      `the target has taken over, epoch ${arrived.epoch}`,
      compared('PCR 10', short(running.pcr), short(arrived.pcr)),
      `the source is ${gone.power} and refuses every command`,
    ],
    { healed, source: left, target: arrived, afterwards: gone },
  );
  await source.ask('off');
  await source.ended();
}

/** @throws StepError */
export async function lastRestart(story: Story, ek: string): Promise<void> {
  story.next('a last cold restart');
  const last = await story.run<Survived>('survived');
  story.tell(
    'Cold restart on the other host: nothing was lost',
    last.ek === ek &&
      last.owned &&
      last.nv === NV_TEXT &&
      last.stranger.result === WRONG_SECRET_RESULT,
    [
      compared('EK', ek, last.ek),
      `the owner’s secret works, a wrong one is answered ${last.stranger.name}`,
      compared('NV index', NV_TEXT, last.nv),
    ],
    last,
  );
}

const short = (hex: string | undefined): string => `${(hex ?? 'none').slice(0, 16)}…`;
