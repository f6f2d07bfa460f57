/**
 * What becomes of a damaged image at the next power on.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { PROGRAM } from '../program/program.js';
import {
  coldStart,
  type Identity,
  outcomeOf,
  type Personality,
  personalityOf,
} from '../subject.js';
import type { Shape } from './shapes.js';

/**
 * `same`: the TPM in its newest state. `EMPTY`: a new TPM was made. `OLDER`: an older state of the
 * TPM. `ANOTHER`: anything else that started. Else the outcome of a refusal, or an exception.
 */
export type Outcome = string;

/** Outcomes that no damage may have. */
export const isLoss = (outcome: Outcome): boolean =>
  ['EMPTY', 'OLDER', 'ANOTHER'].includes(outcome) || outcome.startsWith('exception');

export class Judge {
  readonly #shape: Shape;
  readonly #state: Identity;
  readonly #personality: Personality;

  /** Starts the sound image, which changes it: the caller restores it. */
  constructor(shape: Shape) {
    this.#shape = shape;
    this.#state = coldStart(shape.image);
    this.#personality = personalityOf(shape.image);
  }

  /** Starts the image as it is now. */
  start(): Outcome {
    const { uuid, generation, permall } = this.#state;
    try {
      const found = coldStart(this.#shape.image);
      if (found.uuid !== uuid) return 'EMPTY';
      if (found.generation < generation) return 'OLDER';
      return found.permall === permall ? 'same' : 'ANOTHER';
    } catch (error) {
      return outcomeOf(error);
    }
  }

  /** Whether the TPM 1.2 engine starts, and finds the same EK, owner and NV indices. */
  isSameTpm(): boolean {
    try {
      const found = personalityOf(this.#shape.image);
      return JSON.stringify(found) === JSON.stringify(this.#personality);
    } catch {
      return false;
    }
  }

  /** Whether `nvtpm exec` runs a command on the image as it is now. */
  execRuns(): boolean {
    const getRandom = '00c10000000e0000004600000008';
    const args = [PROGRAM, 'exec', this.#shape.image, getRandom, '--allow-backing'];
    return spawnSync(process.execPath, args, { stdio: 'ignore' }).status === 0;
  }
}
