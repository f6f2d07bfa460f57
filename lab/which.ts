/** Where a program lies: apart from _peers.ts, because scripts want it too and ava runs only under ava. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The full path of `program`, or undefined where it is not installed. */
export function which(program: string): string | undefined {
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
