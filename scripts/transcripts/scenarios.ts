/**
 * Every scenario that is recorded, by area.
 * @module
 */
import { CAPABILITIES } from './capabilities.js';
import { PCRS } from './pcrs.js';
import type { Scenario } from './recorder.js';
import { STARTUPS } from './startups.js';

export const SCENARIOS: readonly Scenario[] = [...STARTUPS, ...CAPABILITIES, ...PCRS];
