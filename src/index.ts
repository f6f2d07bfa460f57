/**
 * `nvtpm`: a machine with a TPM whose state lives in an image. The layers have sub-paths of their own:
 * `nvtpm/tis`, `nvtpm/nvram`, `nvtpm/block`, `nvtpm/lock`, `nvtpm/migration`, `nvtpm/testing`.
 * @module
 */
export { IoError, NvtpmError, type Outcome } from './errors.js';
export * from './machine/index.js';
export * from './migration/index.js';
export { systemClock, systemEntropy } from './system.js';
export type { GenerateKey, RsaKey } from './tpm/crypto/rsa-keys.js';
export {
  type BlobName,
  type Clock,
  type Engine,
  type EngineFactory,
  type EngineInfo,
  type EngineKind,
  type Entropy,
  type NvramPort,
  StateError,
  StoreFailure,
  type Tpm12Info,
  type Tpm20Info,
} from './tpm/engine.js';
export { Tpm12, type Tpm12Options } from './tpm/tpm12/tpm12.js';
export { noTrace, type Trace, type TraceEvent } from './trace.js';
