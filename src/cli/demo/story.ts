/**
 * `nvtpm demo`: the story of a TPM whose state outlives the machine. Every step is a process of its
 * own; what the steps print is their evidence, and the story holds only if all of it fits together.
 * @module
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pc from 'picocolors';
import { createQcow2 } from '../../block/index.js';
import { EXIT_CODES } from '../exit-codes.js';
import { type Result, UsageError } from '../output.js';
import { NV_TEXT } from './guest.js';
import { progress } from './progress.js';

export interface DemoOptions {
  readonly image: string;
  /** Replace an image that is there already. */
  readonly force: boolean;
  readonly json: boolean;
  /** The program that runs a step: this one. */
  readonly program: string;
}

/** What a step showed. */
interface Chapter {
  readonly title: string;
  readonly holds: boolean;
  readonly evidence: readonly string[];
  readonly data: Readonly<Record<string, unknown>>;
}

// biome-ignore lint/suspicious/noExplicitAny: evidence is JSON of our own child processes.
type Json = any;

/** Where the image comes from: the real qemu-img where it is installed, else our own create. */
function makeImage(path: string, force: boolean): string {
  if (existsSync(path)) {
    if (!force) {
      throw new UsageError(`${path} exists; name another --image, or let --force replace it`);
    }
    rmSync(path);
  }
  try {
    const version = execFileSync('qemu-img', ['--version'], { encoding: 'utf8' });
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '64M']);
    chmodSync(path, 0o600);
    return version.split('\n', 1)[0]!.replace(/ *\(.*/, '');
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
    createQcow2(path, { size: 64 * 1024 * 1024 });
    return 'nvtpm create';
  }
}

class Story {
  readonly #options: DemoOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), 'nvtpm-demo-'));
  readonly chapters: Chapter[] = [];

  constructor(options: DemoOptions) {
    this.#options = options;
  }

  get socket(): string {
    return join(this.#folder, 'migration.sock');
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Runs a step to its end. */
  async run(name: string): Promise<{ exit: number; out: Json }> {
    const child = this.start(name);
    let last = '{}';
    for await (const line of lines(child)) last = line;
    return { exit: await exitOf(child), out: JSON.parse(last) };
  }

  start(name: string): ChildProcess {
    const { program, image } = this.#options;
    return spawn(process.execPath, [program, 'demo-step', name, image, this.socket, '--json'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
  }

  tell(title: string, holds: boolean, evidence: readonly string[], data: Json): void {
    this.chapters.push({ title, holds, evidence, data });
    progress.stop();
    if (this.#options.json) return;
    console.log(`${holds ? pc.green('✔') : pc.red('✘')} ${pc.bold(title)}`);
    for (const line of evidence) console.log(`    ${line}`);
  }

  next(what: string): void {
    if (!this.#options.json) progress.start(what);
  }
}

/** One JSON document a line; a child that prints its last one over several lines is joined up. */
async function* lines(child: ChildProcess): AsyncGenerator<string> {
  let open = '';
  for await (const line of createInterface({ input: child.stdout! })) {
    open += line;
    try {
      JSON.parse(open);
    } catch {
      continue;
    }
    yield open;
    open = '';
  }
}

const exitOf = (child: ChildProcess): Promise<number> =>
  child.exitCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise(resolve => child.once('exit', code => resolve(code ?? EXIT_CODES.FAILED)));

const steps = (store: readonly string[]): string => store.join(' → ');

export async function demo(options: DemoOptions): Promise<Result> {
  const maker = makeImage(options.image, options.force);
  const story = new Story(options);
  try {
    await coldRestarts(story, maker);
    await migrations(story);
    return summary(story, options.image, maker);
  } finally {
    progress.stop();
    story.close();
  }
}

async function coldRestarts(story: Story, maker: string): Promise<void> {
  story.next('a blank TPM makes its Endorsement Key');
  const { out: blank } = await story.run('blank');
  story.tell(
    'A blank image becomes a TPM, and the TPM makes its Endorsement Key',
    blank.before === 'EMPTY' && typeof blank.ek === 'string',
    [
      `image by ${maker}; its store: ${blank.before}`,
      `EK ${blank.ek}`,
      `generation ${blank.generation}: ${steps(blank.store ?? [])}`,
    ],
    blank,
  );

  story.next('cold restart; an owner comes');
  const { out: own } = await story.run('own');
  story.tell(
    'Cold restart: the EK is there, and an owner takes the TPM',
    own.ek === blank.ek && own.owned === true,
    [`EK ${own.ek} (${same(own.ek, blank.ek)})`, `owned: ${own.owned}`],
    own,
  );

  story.next('cold restart; the owner comes back');
  const { out: prove } = await story.run('prove');
  story.tell(
    'Cold restart: the owner’s secret works, a wrong one does not',
    prove.ek === blank.ek && prove.stranger?.result === 1,
    [
      `the owner reads the EK: ${prove.ek} (${same(prove.ek, blank.ek)})`,
      `somebody else gets ${prove.stranger?.name} (0x${prove.stranger?.result?.toString(16)})`,
      `the owner writes an NV index, generation ${prove.generation}: ${steps(prove.store ?? [])}`,
    ],
    prove,
  );
}

async function migrations(story: Story): Promise<void> {
  const source = story.start('source');
  const answers = lines(source);
  const ask = async (word: string): Promise<Json> => {
    source.stdin!.write(`${word}\n`);
    return JSON.parse((await answers.next()).value ?? '{}');
  };
  try {
    story.next('a machine runs, and its stored state is damaged');
    const running = JSON.parse((await answers.next()).value ?? '{}');
    const { out: damage } = await story.run('damage');
    const refused = await story.run('target');
    const alive = await ask('probe');
    story.tell(
      'Migration to a target that finds a corrupt blob: it gives up, the source runs on',
      refused.exit === EXIT_CODES.CORRUPT && alive.power === 'on' && alive.pcr === running.pcr,
      [
        `byte ${damage.byte} of blob ${damage.blob} (offset ${damage.offset}): ${damage.was} became ${damage.is}`,
        `the target: ${refused.out.error?.code}, exit code ${refused.exit}`,
        `the source answers: PCR 10 is ${String(alive.pcr).slice(0, 16)}…, the owner reads EK ${alive.ek}`,
      ],
      { damage, target: { exit: refused.exit, error: refused.out.error }, source: alive },
    );

    story.next('the next store heals the image, and the migration succeeds');
    const healed = await ask('write');
    const target = story.start('target');
    const arrivals = lines(target);
    await arrivals.next();
    const left = await ask(`migrate ${story.socket}`);
    const arrived = JSON.parse((await arrivals.next()).value ?? '{}');
    const exit = await exitOf(target);
    const gone = await ask('probe');
    story.tell(
      'The source stores again, and now the migration succeeds',
      left.migrated === true && exit === 0 && arrived.pcr === running.pcr && gone.power === 'gone',
      [
        `generation ${healed.generation} replaces the damaged one`,
        `the target has taken over (epoch ${arrived.epoch}); PCR 10 came along: ${same(arrived.pcr, running.pcr)}`,
        `the source is ${gone.power} and refuses everything`,
      ],
      { healed, source: left, target: arrived, afterwards: gone },
    );
    source.stdin!.write('off\n');
    await exitOf(source);
  } finally {
    source.kill();
  }

  story.next('a last cold restart');
  const { out: last } = await story.run('survived');
  const first = story.chapters[0]!.data as Json;
  story.tell(
    'Cold restart on the other host: nothing was lost',
    last.ek === first.ek &&
      last.owned === true &&
      last.nv === NV_TEXT &&
      last.stranger?.result === 1,
    [
      `EK ${last.ek} (${same(last.ek, first.ek)})`,
      `the owner’s secret works, a wrong one gets ${last.stranger?.name}`,
      `the NV index holds “${last.nv}”`,
    ],
    last,
  );
}

const same = (a: unknown, b: unknown): string => (a === b ? 'the same' : `NOT ${String(b)}`);

function summary(story: Story, image: string, maker: string): Result {
  const holds = story.chapters.every(chapter => chapter.holds);
  const rows = story.chapters.map(
    ({ title, holds }) => `  ${holds ? pc.green('holds') : pc.red('FAILS')}  ${title}`,
  );
  return {
    lines: ['', pc.bold(`Summary (${image})`), ...rows],
    data: { image, maker, holds, steps: story.chapters },
    outcome: holds ? 'OK' : 'FAILED',
  };
}
