/** A process that creates a lock file and then idles: `PATH`. */
import { openSync } from 'node:fs';

openSync(process.argv[2]!, 'wx');
console.log('locked');
process.stdin.resume();
