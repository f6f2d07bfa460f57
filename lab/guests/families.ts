/** Everything that a guest may do: one line a family. */
import { AUDIT } from './audit.js';
import { CERTIFIED_MIGRATION } from './certified.js';
import { CONTEXTS_FAMILY } from './contexts.js';
import { COUNTING } from './counters.js';
import { DAA } from './daa.js';
import { DELEGATION } from './delegation.js';
import { type Family, type Habits, RandomGuest, type Subject } from './guest.js';
import { IDENTITIES } from './identity.js';
import { KEYS } from './keys.js';
import { LIVES, revive } from './lives.js';
import { LOCKOUT } from './lockout.js';
import { LOOKING } from './looking.js';
import { MEASURING } from './measuring.js';
import { MIGRATION } from './migration.js';
import { NV } from './nv.js';
import { OWN } from './own.js';
import { PRESENCE_FAMILY } from './presence.js';
import { SECRETS } from './secrets.js';
import { STARTING } from './starting.js';
import { STORAGE } from './storage.js';
import { transportFamily } from './transport.js';

/** What a guest does through a transport session, too. */
const WRAPPED: Family = [
  KEYS,
  STORAGE,
  MIGRATION,
  CERTIFIED_MIGRATION,
  IDENTITIES,
  SECRETS,
  MEASURING,
  NV,
  COUNTING,
  CONTEXTS_FAMILY,
  DAA,
  DELEGATION,
  AUDIT,
  OWN,
  PRESENCE_FAMILY,
  LOOKING,
].flat();

export const FAMILIES: Family = [
  WRAPPED,
  LIVES,
  STARTING,
  LOCKOUT,
  transportFamily(WRAPPED),
].flat();

/** A guest that does all of it. */
export const guestOf = (mirror: Subject, seed: number, habits: Habits = {}): RandomGuest =>
  new RandomGuest(mirror, seed, FAMILIES, { revive, ...habits });

/** In how many steps a guest does everything. */
export const ALL_STEPS = FAMILIES.reduce((sum, [weight]) => sum + weight, 0);
