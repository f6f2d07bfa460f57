/**
 * The error of a system interface that is not there: another platform, another word size, a kernel
 * or an installation without it.
 * @module
 */
import { NvtpmError } from '../errors.js';

export class NativeError extends NvtpmError {
  override readonly name = 'NativeError';
  readonly code = 'UNSUPPORTED';
  readonly outcome = 'FAILED';
}
