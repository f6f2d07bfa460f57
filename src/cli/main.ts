#!/usr/bin/env node
/**
 * The `nvtpm` command, as a process.
 * @module
 */
import { main } from './program.js';
import { processSurroundings } from './surroundings.js';

// Everything is written by now. An event loop that is left to end by itself closes its signal handlers
// while the process still lives: a signal that arrives then would replace the exit code.
process.exit(await main(process.argv.slice(2), processSurroundings));
