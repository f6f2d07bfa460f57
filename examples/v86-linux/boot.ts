/**
 * One boot of the guest, in a process of its own, so that nothing but the image carries anything from
 * one to the next. Prints what it saw as one JSON document. Usage: boot.js first|second IMAGE
 * @module
 */
import { writeSync } from 'node:fs';
import { systemClock as clock, systemEntropy as entropy, Machine, noTrace, Tpm12 } from 'nvtpm';
import { openImage } from 'nvtpm/block';
import { secretOf } from 'nvtpm/guest';
import { GuestTpm } from './guest.js';
import { Pc } from './pc.js';
import { type KernelLog, kernelLog, type Sysfs, sysfs } from './sysfs.js';

/** As public as the secrets of any demonstration. */
const OWNER = secretOf('the owner of the example');

export interface Boot extends KernelLog {
  readonly seconds: number;
  readonly kernel: string;
  readonly accesses: number;
  /** sysfs after each step, and the modulus as the TPM's answers have it. */
  readonly steps: readonly { readonly step: string; readonly sysfs: Sysfs }[];
  readonly modulus: string;
}

/** Looks at sysfs; at the key only where the TPM shows it, since else the kernel logs an error. */
type Note = (step: string, visible?: 'pubek') => Promise<void>;

// biome-ignore format: table
const BOOTS: Readonly<Record<string, (tpm: GuestTpm, note: Note) => Promise<string>>> = {
  first: async (tpm, note) => {
    await note('a blank TPM');
    const modulus = await tpm.createEk();
    await note('an Endorsement Key', 'pubek');
    await tpm.takeOwnership(OWNER);
    await note('an owner');
    return modulus;
  },
  second: async (tpm, note) => {
    await note('a cold restart');
    const modulus = await tpm.ownerReadsEk(OWNER);
    // An owner hides the key from sysfs, as TPM_TakeOwnership is specified: without one it shows again.
    await tpm.clear(OWNER);
    await note('no owner any more', 'pubek');
    return modulus;
  },
};

async function boot(name: string, path: string): Promise<Boot> {
  const start = performance.now();
  using image = openImage(path, { readOnly: false });
  const machine = new Machine({
    image,
    entropy,
    engine: () => new Tpm12({ entropy, clock, trace: noTrace }),
    expectExisting: name !== 'first',
    // As a PC's chipset has it.
    locality4: false,
  });
  machine.powerOn();
  const pc = await Pc.boot(machine.tis);
  const steps: { step: string; sysfs: Sysfs }[] = [];
  const note: Note = async (step, visible) => {
    steps.push({ step, sysfs: await sysfs(pc.console, visible === 'pubek') });
  };
  const modulus = await BOOTS[name]!(new GuestTpm(pc.console), note);
  const [kernel = ''] = await pc.console.shell('uname -r');
  const log = await kernelLog(pc.console);
  // No shutdown: the power is cut, and what was acknowledged is on the disk.
  machine.cutPower();
  return {
    seconds: Math.round((performance.now() - start) / 100) / 10,
    kernel,
    ...log,
    accesses: pc.accesses,
    steps,
    modulus,
  };
}

const [name, path] = process.argv.slice(2);
if (name === undefined || path === undefined || !Object.hasOwn(BOOTS, name)) {
  throw new Error('usage: boot.js first|second IMAGE');
}
writeSync(1, `${JSON.stringify(await boot(name, path))}\n`);
// The emulator has timers that nothing stops.
process.exit(0);
