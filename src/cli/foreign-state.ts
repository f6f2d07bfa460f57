/**
 * The state of a TPM on its way between an image and swtpm: read as a whole and checked before anything
 * is written.
 * @module
 */
import { type BlobStore, type Changes, NvramError } from '../nvram/index.js';
import { SWTPM_BLOBS, SwtpmError } from '../nvram/swtpm/index.js';
import { StateError } from '../tpm/engine.js';
import { stateVersion } from '../tpm/state-version.js';
import { decodeSaved } from '../tpm/tpm12/state/savestate.js';
import { fingerprint } from './fingerprint.js';
import { isStoredOnly, type TpmInside, tpmOf } from './inside.js';
import { sizeText } from './values.js';

/** The state of one TPM, valid as far as there is an engine for it. */
export interface State {
  readonly tpm: TpmInside;
  readonly permall: Uint8Array;
  /** The blobs, and null for those that there are not: what a store is to hold. */
  readonly blobs: Changes;
  readonly notes: readonly string[];
}

/**
 * Reads and validates what `from` holds.
 * @throws NvramError CORRUPT; SwtpmError; IoError; LockError
 */
export function readState(from: Pick<BlobStore, 'path' | 'load'>): State {
  const { path } = from;
  const blobs = new Map(SWTPM_BLOBS.map(({ name }) => [name, from.load(name) ?? null]));
  const permall = blobs.get('permall') ?? undefined;
  if (permall === undefined) {
    throw new SwtpmError('ABSENT', path, 'there is no permanent state in it');
  }
  const version = stateVersion(permall);
  if (version === undefined) {
    throw new NvramError('CORRUPT', path, ['its permall is not that of a TPM 1.2 or 2.0']);
  }
  const notes: string[] = [];
  const tpm = asStored(path, () => {
    if (version === '1.2') demandSaved(blobs.get('savestate') ?? undefined);
    return tpmOf(permall);
  });
  if (version === '1.2' && blobs.get('volatilestate')) {
    // Each engine has a format of its own for it.
    blobs.set('volatilestate', null);
    notes.push('the volatile state of a TPM 1.2 does not travel: the TPM starts cold');
  }
  return { tpm, permall, blobs, notes };
}

function demandSaved(savestate: Uint8Array | undefined): void {
  if (savestate !== undefined) decodeSaved(savestate);
}

/** What an engine's refusal means for a stored state. */
function asStored<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof StateError)) throw error;
    throw new NvramError('CORRUPT', path, [error.message]);
  }
}

/** The state in words: `TPM 1.2, EK 12:34:…, permall 1.6 KiB`. */
export function stateText({ tpm, blobs }: Pick<State, 'tpm' | 'blobs'>): string {
  const sizes = [...blobs].flatMap(([name, bytes]) =>
    bytes === null ? [] : [`${name} ${sizeText(bytes.length)}`],
  );
  return [tpmText(tpm), ...sizes].join(', ');
}

/** A TPM in words. */
export function tpmText(tpm: TpmInside): string {
  const name = `TPM ${tpm.version}`;
  if (isStoredOnly(tpm)) return `${name} (stored only: there is no engine for it yet)`;
  return tpm.ek === undefined ? `${name} without an EK` : `${name}, EK ${fingerprint(tpm.ek)}`;
}

/** The state as data. */
export const stateData = ({ tpm, blobs, notes }: State) => ({
  tpm: {
    version: tpm.version,
    ek: isStoredOnly(tpm) || tpm.ek === undefined ? null : fingerprint(tpm.ek),
  },
  blobs: [...blobs].flatMap(([name, bytes]) =>
    bytes === null ? [] : [{ name, size: bytes.length }],
  ),
  notes,
});
