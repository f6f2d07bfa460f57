/**
 * State between images and the real swtpm, through `nvtpm import` and `nvtpm export`: in each cell of
 * {directory, linear} × {key kinds} × {1.2, 2.0}, what one side has written the other starts from, and
 * the Endorsement Key stays the same.
 */
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hex, toHex } from '../files.js';
import { Swtpm } from './swtpm.js';
import type { SwtpmKeyCase } from './swtpm-keys.js';
import { STATE_PLACES, setUpSwtpm } from './swtpm-setup.js';

export type Version = '1.2' | '2.0';
export type Backend = keyof typeof STATE_PLACES;

/** Runs nvtpm and fails unless it succeeds. */
export type Nvtpm = (args: readonly string[]) => Promise<void>;

export interface Cell {
  readonly backend: Backend;
  readonly key: SwtpmKeyCase;
  readonly version: Version;
}

export const cellName = ({ backend, key, version }: Cell): string =>
  `TPM ${version}, ${backend}, ${key.name}`;

/** TPM_Startup(ST_CLEAR), then TPM_ReadPubek; TPM2_Startup(CLEAR), then TPM2_ReadPublic of the EK. */
// biome-ignore format: table
const QUESTIONS: Readonly<Record<Version, readonly [startup: string, ek: string]>> = {
  '1.2': ['00c1 0000000c 00000099 0001', `00c1 0000001e 0000007c ${'11'.repeat(20)}`],
  '2.0': ['8001 0000000c 00000144 0000', '8001 0000000e 00000173 81010001'],
};
/** TPM_ReadPubek ends with a digest of nonce and key, which are the same each time. */
const READ = 'the EK could not be read';

export const placeOf = (backend: Backend, path: string): string =>
  `${backend === 'dir' ? 'swtpm-dir' : 'swtpm-file'}:${path}`;

/** A path for state of this backend in `folder`. */
export function statePath(folder: string, backend: Backend): string {
  const path = join(mkdtempSync(join(folder, 's-')), 'state');
  if (backend === 'dir') mkdirSync(path);
  return path;
}

/** Where the permanent state lies, as swtpm wrote it. */
export const stateFile = ({ backend, version }: Cell, path: string): string =>
  backend === 'dir' ? join(path, `tpm${version === '2.0' ? '2' : ''}-00.permall`) : path;

/** Starts the real swtpm on a state, and reads the EK. @throws Error where it does not start */
export function ekInSwtpm(folder: string, path: string, cell: Cell): string {
  const { option } = cell.key;
  const sockets = mkdtempSync(join(folder, 'r-'));
  const peer = new Swtpm(sockets, [
    ...(cell.version === '2.0' ? ['--tpm2'] : []),
    ...['--tpmstate', STATE_PLACES[cell.backend].swtpm(path)],
    ...(option === undefined ? [] : ['--key', option]),
  ]);
  try {
    const [startup, ek] = QUESTIONS[cell.version].map(each => peer.transmit(hex(each)));
    for (const answer of [startup, ek]) {
      if (answer === undefined || toHex(answer.subarray(6, 10)) !== '00000000') {
        throw new Error(`${cellName(cell)}: ${READ}: ${toHex(answer ?? new Uint8Array())}`);
      }
    }
    return toHex(ek!);
  } finally {
    peer.stop();
  }
}

const keyArgs = (name: string, { option }: SwtpmKeyCase): string[] =>
  option === undefined ? [] : [name, option];

/**
 * From an image to swtpm, which starts and writes its state, and back into a new image.
 * @returns the EK in swtpm before and after, and whether swtpm has written the file itself
 */
export async function thereAndBack(
  nvtpm: Nvtpm,
  folder: string,
  image: string,
  cell: Cell,
): Promise<{ readonly ek: string; readonly again: string; readonly isWritten: boolean }> {
  const path = statePath(folder, cell.backend);
  await nvtpm([
    'export',
    image,
    '--to',
    placeOf(cell.backend, path),
    ...keyArgs('--to-key', cell.key),
  ]);
  const ours = readFileSync(stateFile(cell, path));
  const ek = ekInSwtpm(folder, path, cell);
  const isWritten = !ours.equals(readFileSync(stateFile(cell, path)));
  const back = await imported(nvtpm, path, cell);
  const plain = { ...cell, key: PLAIN };
  const last = statePath(folder, cell.backend);
  await nvtpm(['export', back, '--to', placeOf(cell.backend, last)]);
  return { ek, again: ekInSwtpm(folder, last, plain), isWritten };
}

export const PLAIN: SwtpmKeyCase = { name: 'plain', option: undefined, setup: [] };

/** A new image with the state of `path`. */
export async function imported(nvtpm: Nvtpm, path: string, cell: Cell): Promise<string> {
  const image = join(mkdtempSync(`${path}-i-`), 'tpm.qcow2');
  await nvtpm(['create', image]);
  await nvtpm([
    'import',
    image,
    '--from',
    placeOf(cell.backend, path),
    ...keyArgs('--from-key', cell.key),
  ]);
  return image;
}

/** State that swtpm_setup has made with this key itself: its EK, and an image that has it. */
export async function fromSetup(
  nvtpm: Nvtpm,
  folder: string,
  cell: Cell,
): Promise<{ readonly image: string; readonly ek: string }> {
  const path = statePath(folder, cell.backend);
  setUpSwtpm(folder, STATE_PLACES[cell.backend].setup(path), cell.version, cell.key.setup);
  const image = await imported(nvtpm, path, cell);
  return { image, ek: ekInSwtpm(folder, path, cell) };
}
