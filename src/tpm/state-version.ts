/**
 * Which TPM a permanent state is of, by its first bytes. Both are libtpms's formats: a TPM 1.2 begins with
 * the version of its format and the tag of its flags, a TPM 2.0 with a version and a magic.
 * @module
 */
import type { EngineKind } from './engine.js';

const TPM12_START = 0x0001_0022;
const TPM20_MAGIC = 0xab36_4723;
const TPM20_MAGIC_AT = 2;

/** Undefined where it is the state of neither. */
export function stateVersion(permall: Uint8Array): EngineKind['version'] | undefined {
  if (permall.length < TPM20_MAGIC_AT + 4) return undefined;
  const view = new DataView(permall.buffer, permall.byteOffset, permall.byteLength);
  if (view.getUint32(TPM20_MAGIC_AT) === TPM20_MAGIC) return '2.0';
  return view.getUint32(0) === TPM12_START ? '1.2' : undefined;
}
