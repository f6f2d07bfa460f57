/** The real qemu-img and qemu-io, for suites that compare with them. */
import { spawnSync } from 'node:child_process';

export interface Ran {
  readonly status: number | null;
  /** Standard output and standard error together. */
  readonly text: string;
}

export function run(program: string, ...args: readonly string[]): Ran {
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  });
  return { status, text: `${stdout}${stderr}` };
}

/** qemu-img, which must succeed. */
export function qemuImg(...args: readonly string[]): string {
  const { status, text } = run('qemu-img', ...args);
  if (status !== 0) throw new Error(`qemu-img ${args.join(' ')}: ${text}`);
  return text;
}

/** qemu-io with these commands on an image, which must all succeed. */
export function qemuIo(path: string, ...commands: readonly string[]): string {
  const { status, text } = run('qemu-io', '-f', 'qcow2', ...commands.flatMap(c => ['-c', c]), path);
  if (status !== 0 || /failed|error/i.test(text)) throw new Error(`qemu-io: ${text}`);
  return text;
}

/** The exit code of `qemu-img check`: 0 clean, 1 no check, 2 corrupt, 3 leaks. */
export const qemuCheck = (path: string): number | null =>
  run('qemu-img', 'check', '-f', 'qcow2', path).status;
