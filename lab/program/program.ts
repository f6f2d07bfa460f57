/** The `nvtpm` command, as campaigns start it. @module */
import { fileURLToPath } from 'node:url';

export const PROGRAM = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
