/**
 * The verdicts on an image, and what each means as an error.
 * @module
 */
import { ImageError } from '../../block/node.js';
import type { NvtpmError } from '../../errors.js';
import { NvramError } from '../errors.js';
import type { AssessedVerdict, Assessment } from './assess.js';

/**
 * What an inspection says of a store. IMAGE: the image is damaged, whatever can be read of the store.
 * @useDeclaredType
 */
export type Verdict = AssessedVerdict | 'WRONG_KEY' | 'IMAGE';

/** What an inspection found: a verdict, findings, and the state if there is one. */
export interface Inspection extends Omit<Assessment, 'verdict'> {
  readonly verdict: Verdict;
  /** Of an EMPTY disk without a store: whether the image's header proves that there never was one. */
  readonly isProvenByHeader: boolean;
}

/** `found`, refused: without a state that could be used. */
export const refused = (
  verdict: Verdict,
  found: Inspection,
  findings: readonly string[],
): Inspection => ({ ...found, verdict, findings, intact: false, state: undefined });

/** The error that opening the store would throw; undefined for OK and EMPTY. */
export function faultOf(path: string, found: Inspection): NvtpmError | undefined {
  const { verdict, findings } = found;
  if (verdict === 'OK' || verdict === 'EMPTY') return undefined;
  if (verdict !== 'IMAGE') return new NvramError(verdict, path, findings);
  const advice = 'copy what can be read (qemu-img convert), or try check --repair on a copy';
  return new ImageError('DAMAGED', path, findings, advice);
}
