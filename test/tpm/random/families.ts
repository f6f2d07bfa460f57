/** Everything that a guest may do: one line a family. */
import { CONTEXTS_FAMILY } from './contexts.js';
import { COUNTERS_FAMILY } from './counters.js';
import { DELEGATION } from './delegation.js';
import type { Family } from './guest.js';
import { KEYS } from './keys.js';
import { LOOKING } from './looking.js';
import { MEASURING } from './measuring.js';
import { NV } from './nv.js';
import { OWN } from './own.js';
import { STORAGE } from './storage.js';

export const FAMILIES: Family = [
  KEYS,
  STORAGE,
  MEASURING,
  NV,
  COUNTERS_FAMILY,
  CONTEXTS_FAMILY,
  DELEGATION,
  OWN,
  LOOKING,
].flat();
