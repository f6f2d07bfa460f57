/** Register scripts at random before QEMU's tpm-tis and before ours. @module */
import { Differential } from './differential.js';

export interface Campaign {
  readonly scripts: number;
  /** Accesses a script. */
  readonly accesses: number;
  /** The first seed. */
  readonly first: number;
}

/**
 * Half of the scripts run with TPM 1.2, half with TPM 2.0.
 * @param tell gets the first difference of each
 */
export async function compareRegisters(
  { scripts, accesses, first }: Campaign,
  tell: (line: string) => void,
) {
  const total = { scripts: 0, accesses: 0, compared: 0, commands: 0, high: 0, differences: 0 };
  for (const personality of ['1.2', '2.0'] as const) {
    const pair = await Differential.start(personality);
    for (let seed = first; seed < first + scripts / 2; seed += 1) {
      const { differences, ...outcome } = await pair.run(seed, accesses);
      total.scripts += 1;
      total.accesses += outcome.accesses;
      total.compared += outcome.compared;
      total.commands += outcome.commands;
      total.high += outcome.high;
      total.differences += differences.length;
      if (differences.length === 0) continue;
      tell(`TPM ${personality}: ${JSON.stringify(differences[0], null, 2)}`);
      // After a difference the two states differ, and so does all that follows.
      break;
    }
    await pair.close();
  }
  return total;
}
