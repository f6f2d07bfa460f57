/**
 * `nvtpm check`: what is wrong with an image. It writes nothing.
 * @module
 */
import { inspectStore, NvramError } from '../../nvram/index.js';
import { type CommonOptions, lookInside, withImage } from '../images.js';
import { describe, type Result } from '../output.js';
import { faultOf } from './info.js';

export interface CheckOptions extends CommonOptions {
  /** An EMPTY image is a fault too. */
  readonly expectExisting: boolean;
}

export function check(path: string, options: CheckOptions): Result {
  return withImage(path, { readOnly: true, trace: options.trace }, image => {
    const wait = { timeoutMs: options.lockTimeout };
    const found = inspectStore(image, { trace: options.trace, wait });
    const missing =
      found.verdict === 'EMPTY' && options.expectExisting
        ? new NvramError('EMPTY', path, ['there is no TPM in it'])
        : undefined;
    const fault = missing ?? faultOf(path, found, lookInside(image, found));
    const nvram = { outcome: found.verdict, findings: found.findings, notes: found.notes };
    if (fault !== undefined) {
      return {
        lines: [fault.message],
        data: { nvram, error: describe(fault) },
        outcome: fault.outcome,
      };
    }
    const generation = found.state?.directory.generation;
    const what = generation === undefined ? 'not formatted yet' : `generation ${generation}`;
    return {
      lines: [
        `${path}: no fault found (${found.verdict}, ${what})`,
        ...found.notes.map(note => `note: ${note}`),
      ],
      data: { nvram },
    };
  });
}
