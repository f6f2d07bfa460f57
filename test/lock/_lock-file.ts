/** A process that makes a file to lock something with, and stays: `PATH`. */
import { openSync } from 'node:fs';

openSync(process.argv[2]!, 'wx');
console.log('locked');
process.stdin.resume();
