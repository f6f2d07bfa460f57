/** A process that takes the guard of an image and stays until its input ends: `PATH ROLE [MODE]`. */
import { type GuardMode, type GuardRole, openImage, takeGuard } from '../../src/block/index.js';
import { LockError } from '../../src/lock/index.js';

const [path, role, mode] = process.argv.slice(2);
const node = openImage(path!, { readOnly: role !== 'writer' && role !== 'incoming' });
try {
  const guard = takeGuard(node, role as GuardRole, mode as GuardMode | undefined);
  console.log(guard.bytes.join(' '));
  process.stdin.resume();
} catch (error) {
  console.log(error instanceof LockError ? error.code : String(error));
}
