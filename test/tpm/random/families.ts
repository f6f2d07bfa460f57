/** Everything that a guest may do: one line a family. */
import type { Mirror } from '../_mirror.js';
import { CONTEXTS_FAMILY } from './contexts.js';
import { COUNTERS_FAMILY } from './counters.js';
import { DELEGATION } from './delegation.js';
import { type Family, RandomGuest } from './guest.js';
import { KEYS } from './keys.js';
import { LIVES, revive } from './lives.js';
import { LOOKING } from './looking.js';
import { MEASURING } from './measuring.js';
import { NV } from './nv.js';
import { OWN } from './own.js';
import { PRESENCE_FAMILY } from './presence.js';
import { STORAGE } from './storage.js';

const FAMILIES: Family = [
  KEYS,
  STORAGE,
  MEASURING,
  NV,
  COUNTERS_FAMILY,
  CONTEXTS_FAMILY,
  DELEGATION,
  OWN,
  PRESENCE_FAMILY,
  LIVES,
  LOOKING,
].flat();

/** A guest that does all of it. */
export const guestOf = (mirror: Mirror, seed: number): RandomGuest =>
  new RandomGuest(mirror, seed, FAMILIES, revive);
