/** Keys of swtpm in all their forms: as its own options, and those of import and export, name them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SwtpmKeyCase {
  readonly name: string;
  /** The option of swtpm's --key, and of --from-key and --to-key; undefined for plain state. */
  readonly option: string | undefined;
  /** The same for swtpm_setup; undefined where it has no such option. */
  readonly setup: readonly string[] | undefined;
}

const HEX_128 = 'ab'.repeat(16);
const HEX_256 = `0x${'cd'.repeat(32)}`;

/** Writes the key files into `folder`. */
export function swtpmKeys(folder: string): readonly SwtpmKeyCase[] {
  const file = (name: string, content: string | Uint8Array): string => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  const [k128, k256] = [file('k128', HEX_128), file('k256', HEX_256)];
  const binary = file('binary', new Uint8Array(32).fill(0xa5));
  // Its newline counts.
  const pwd = file('pwd', 'pass phrase\n');
  const cipher = ['--cipher', 'aes-256-cbc'];
  // biome-ignore format: table
  return [
    { name: 'plain',      option: undefined,                                    setup: [] },
    { name: 'hex 128',    option: `file=${k128},format=hex,mode=aes-cbc`,       setup: ['--keyfile', k128] },
    { name: 'hex 256',    option: `file=${k256},format=hex,mode=aes-256-cbc`,   setup: ['--keyfile', k256, ...cipher] },
    { name: 'binary 256', option: `file=${binary},format=binary,mode=aes-256-cbc`, setup: undefined },
    { name: 'pwd 128',    option: `pwdfile=${pwd},mode=aes-cbc`,                setup: ['--pwdfile', pwd] },
    { name: 'pwd 256',    option: `pwdfile=${pwd},mode=aes-256-cbc`,            setup: ['--pwdfile', pwd, ...cipher] },
    { name: 'sha512 256', option: `pwdfile=${pwd},mode=aes-256-cbc,kdf=sha512`, setup: undefined },
  ];
}
