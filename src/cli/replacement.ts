/**
 * Whether a state may be imported into an image that holds one already: only that of the same TPM.
 * @module
 */
import { type Candidate, NvramError } from '../nvram/index.js';
import { StateError } from '../tpm/engine.js';
import { equal } from '../wire/codec.js';
import { type State, tpmText } from './foreign-state.js';
import { isStoredOnly, type TpmInside, tpmOf } from './inside.js';
import { UsageError } from './output.js';

/**
 * Refuses an import that would lose a TPM. Two states of a TPM 1.2 are of the same one where their EK is
 * the same; nothing in them says which is older, so replacing one is asked for by an option.
 * @throws UsageError; NvramError CORRUPT
 */
export function demandImportable(
  { path, pristine, load }: Pick<Candidate, 'path' | 'pristine'> & { load: Candidate['load'] },
  state: State,
  replace: boolean,
): void {
  if (pristine) return;
  const current = load('permall');
  if (current === undefined) {
    throw new NvramError('CORRUPT', path, ['a TPM was stored here, and its permall is gone']);
  }
  if (equal(current, state.permall)) return;
  const there = currentTpm(path, current);
  if (!isSame(there, state.tpm)) {
    throw new UsageError(
      `${path} holds another TPM (${tpmText(there)}); import into an image of its own (nvtpm create)`,
    );
  }
  if (replace) return;
  throw new UsageError(
    `${path} holds this TPM in another state (${tpmText(there)}); --replace makes the imported state the current one`,
  );
}

function currentTpm(path: string, permall: Uint8Array): TpmInside {
  try {
    return tpmOf(permall);
  } catch (error) {
    if (!(error instanceof StateError)) throw error;
    throw new NvramError('CORRUPT', path, [error.message]);
  }
}

/** A TPM without an EK, or without an engine that finds one, cannot be told from another. */
const isSame = (a: TpmInside, b: TpmInside): boolean =>
  !isStoredOnly(a) &&
  !isStoredOnly(b) &&
  a.ek !== undefined &&
  b.ek !== undefined &&
  equal(a.ek, b.ek);
