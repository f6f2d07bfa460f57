/**
 * `nvtpm check`: what is wrong with an image. It writes nothing, unless it is told to repair.
 * @module
 */
import type { BlockNode } from '../../block/index.js';
import { inspectStore, NvramError, NvramStore, type StoreOptions } from '../../nvram/index.js';
import { type CommonOptions, lookInside, withImage } from '../images.js';
import { describe, type Result } from '../output.js';
import { faultOf } from './info.js';

export interface CheckOptions extends CommonOptions {
  /** An EMPTY image is a fault too. */
  readonly expectExisting: boolean;
  /** Do what is certain: finish or drop a store that was cut off. */
  readonly repair: boolean;
  /** Look at an image that somebody else is writing to. */
  readonly forceShare: boolean;
}

/** A fault that cannot be repaired is left for the check to report. */
function repair(image: BlockNode, options: StoreOptions): boolean {
  try {
    return NvramStore.repair(image, options);
  } catch (error) {
    if (error instanceof NvramError) return false;
    throw error;
  }
}

export function check(path: string, options: CheckOptions): Result {
  const role = options.repair ? 'writer' : options.forceShare ? 'sharing' : 'reader';
  return withImage(path, role, options, image => {
    const wait = { timeoutMs: options.lockTimeout };
    const repaired = options.repair && repair(image, { trace: options.trace, wait });
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
        ...(repaired ? ['repaired: a store that was cut off is settled'] : []),
        ...found.notes.map(note => `note: ${note}`),
      ],
      data: { nvram, repaired },
    };
  });
}
