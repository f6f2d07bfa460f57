/**
 * The TPM in an image, inspected without starting it.
 * @module
 */
import { type BlockNode, withLock } from '../block/index.js';
import type { NvtpmError } from '../errors.js';
import { type Inspection, NvramError, readBlob, faultOf as storeFaultOf } from '../nvram/index.js';
import { systemClock as clock, systemEntropy as entropy } from '../system.js';
import { type EngineInfo, StateError } from '../tpm/engine.js';
import { stateVersion } from '../tpm/state-version.js';
import { Tpm12 } from '../tpm/tpm12/tpm12.js';
import type { CommonOptions } from './images.js';

/** A TPM whose state is stored, and that no engine here can run. */
export interface StoredTpm {
  readonly version: '2.0';
  readonly engine: null;
}

export type TpmInside = EngineInfo | StoredTpm;

/** Whether there is only the state of a TPM, without an engine for it. */
export const isStoredOnly = (tpm: TpmInside): tpm is StoredTpm => 'engine' in tpm;

/**
 * The TPM of a store, or why its state cannot be read; undefined where there is none, or where it is
 * encrypted and no key was given. Nothing is written.
 */
export function lookInside(
  image: BlockNode,
  { verdict, state }: Inspection,
  { key, lockTimeout }: Pick<CommonOptions, 'key' | 'lockTimeout'>,
): TpmInside | StateError | undefined {
  const isReadable = key !== undefined || state?.directory.encryption.kind === 0;
  if (verdict !== 'OK' || !isReadable) return undefined;
  const permall = withLock(image, { timeoutMs: lockTimeout }, disk =>
    readBlob(disk, 'permall', { key }),
  );
  return permall === undefined ? undefined : describeTpm(permall);
}

/** The TPM whose permanent state this is, or why the state cannot be read. */
export function describeTpm(permall: Uint8Array): TpmInside | StateError {
  try {
    return tpmOf(permall);
  } catch (error) {
    if (error instanceof StateError) return error;
    throw error;
  }
}

/** The TPM whose permanent state this is. @throws StateError */
export function tpmOf(permall: Uint8Array): TpmInside {
  if (stateVersion(permall) === '2.0') return { version: '2.0', engine: null };
  const engine = new Tpm12({ entropy, clock });
  try {
    engine.init({
      load: name => (name === 'permall' ? permall : undefined),
      store: () => {},
      delete: () => {},
    });
    return engine.info();
  } finally {
    engine.close();
  }
}

/** What is wrong with a store, as the error of starting it; undefined for OK and EMPTY. */
export function faultOf(
  path: string,
  found: Inspection,
  inside: TpmInside | StateError | undefined,
): NvtpmError | undefined {
  if (inside instanceof StateError) {
    const code = inside.code === 'REVISION' ? 'REVISION' : 'CORRUPT';
    return new NvramError(code, path, [inside.message]);
  }
  return storeFaultOf(path, found);
}
