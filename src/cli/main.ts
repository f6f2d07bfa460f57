#!/usr/bin/env node
/**
 * The `nvtpm` command, as a process.
 * @module
 */
import { main } from './program.js';
import { processSurroundings } from './surroundings.js';

process.exitCode = await main(process.argv.slice(2), processSurroundings);
