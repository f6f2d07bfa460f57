/**
 * What the guest's kernel says about the TPM.
 * @module
 */
import type { Console } from './console.js';

/** What the kernel shows of the TPM, without asking for more than read permission. */
export interface Sysfs {
  /** The Endorsement Key's modulus in hex, where it is there to be seen. */
  readonly pubek?: string;
  readonly owned: string;
  readonly enabled: string;
  readonly active: string;
}

/** @param pubek whether to read the key, too: the kernel logs an error where the TPM hides it */
export async function sysfs(console: Console, pubek: boolean): Promise<Sysfs> {
  const show = async (name: string): Promise<string> =>
    (await console.shell(`cat /sys/class/tpm/tpm0/${name}`)).join('\n');
  const [owned, enabled, active] = [
    await show('owned'),
    await show('enabled'),
    await show('active'),
  ];
  if (!pubek) return { owned, enabled, active };
  const [, digits = ''] = (await show('pubek')).split('Modulus:');
  return { owned, enabled, active, pubek: digits.replaceAll(/\s/g, '').toLowerCase() };
}

export interface KernelLog {
  /** What the kernel says about TPMs, and what of it is a warning or worse. */
  readonly messages: readonly string[];
  readonly complaints: readonly string[];
}

export async function kernelLog(console: Console): Promise<KernelLog> {
  // <level>[time] text, with the level of syslog: 4 is a warning.
  const messages = (await console.shell('dmesg -r')).filter(line => /tpm/i.test(line));
  const complaints = messages.filter(line => (Number(/^<(\d+)>/.exec(line)?.[1] ?? 0) & 7) <= 4);
  return { messages, complaints };
}
