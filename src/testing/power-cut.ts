/**
 * Power cuts, enumerated and not sampled: an action is cut off before each of its writes and
 * flushes, and each cut yields every way in which the unflushed sectors can land.
 * @module
 */
import { PowerCut, SimulatedDisk } from './simulated-disk.js';

/** One way in which a power cut can end. */
export interface Wreckage {
  /** The write or flush at which the power was cut, from 0; the number of steps if none was. */
  readonly step: number;
  /** Whether the action had returned by then. */
  readonly finished: boolean;
  /** The disk as it is found when the power is back. */
  readonly disk: SimulatedDisk;
}

/** How many landings are tried, and on which disk. */
export interface PowerCutOptions {
  /** More landings than this are sampled by their extremes instead. Default 100,000. */
  readonly limit?: number;
  /** Another kind of disk, to show that a test notices a fault. */
  readonly Disk?: typeof SimulatedDisk;
  /**
   * Yields a disk that several cuts leave once, and once more for those after `act` returned. For an
   * `act` that acknowledges nothing before it returns.
   */
  readonly distinct?: boolean;
}

/**
 * Runs `act` on a disk that holds `before`, once for every step at which the power can go, and
 * yields every disk that can be left.
 *
 *     for (const { finished, disk } of everyPowerCut(before, store)) { … what is there now? … }
 */
export function* everyPowerCut(
  before: Uint8Array,
  act: (disk: SimulatedDisk) => void,
  { limit = 100_000, Disk = SimulatedDisk, distinct = false }: PowerCutOptions = {},
): Generator<Wreckage, void, void> {
  let seen = new Set<string>();
  for (let step = 0, finished = false; !finished; step += 1) {
    const disk = new Disk(before);
    disk.cutPowerAfter(step);
    finished = completes(() => act(disk));
    if (finished || !distinct) seen = new Set();
    for (const platter of disk.wreckages(limit, seen)) {
      yield { step, finished, disk: new SimulatedDisk(platter) };
    }
  }
}

/** Whether `act` returned. A power cut ends it; anything else that is thrown is a bug. */
function completes(act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if (causedByPowerCut(error)) return false;
    throw error;
  }
}

function causedByPowerCut(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof PowerCut) return true;
  return false;
}
