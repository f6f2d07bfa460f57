/**
 * Where a program lies. NVTPM_PEERS=none hides all of them, as on a machine that has none.
 * @module
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The full path of `program`, or undefined where it is not installed. */
export function which(program: string): string | undefined {
  if (process.env['NVTPM_PEERS'] === 'none') return undefined;
  // Debian keeps daemons in sbin, which is not on every user's PATH.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders
    .map(folder => join(folder, program))
    .find(path => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
