/**
 * What the authorisations of a command see of it.
 * @module
 */
import type { Entropy } from '../../engine.js';
import type { TpmState } from '../state/state.js';

export interface Here {
  readonly tpm: { readonly entropy: Entropy };
  readonly state: TpmState;
  readonly locality: number;
  /** The bits that delegate the command. */
  readonly delegable: { readonly owner?: number; readonly key?: number };
  /** SHA-1 over the ordinal and the parameters: what the guest's HMAC covers. */
  readonly inParamDigest: Uint8Array;
  /** Counts a failed authorisation towards the lockout. */
  countFailure(): void;
}
