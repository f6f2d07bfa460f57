/** Everything that a guest may do: one line a family. */
import type { Mirror } from '../_mirror.js';
import { AUDIT } from './audit.js';
import { CERTIFIED_MIGRATION } from './certified.js';
import { CONTEXTS_FAMILY } from './contexts.js';
import { COUNTING } from './counters.js';
import { DELEGATION } from './delegation.js';
import { type Family, RandomGuest } from './guest.js';
import { IDENTITIES } from './identity.js';
import { KEYS } from './keys.js';
import { LIVES, revive } from './lives.js';
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
  DELEGATION,
  AUDIT,
  OWN,
  PRESENCE_FAMILY,
  LOOKING,
].flat();

const FAMILIES: Family = [...WRAPPED, ...LIVES, ...STARTING, ...transportFamily(WRAPPED)];

/** A guest that does all of it. */
export const guestOf = (mirror: Mirror, seed: number): RandomGuest =>
  new RandomGuest(mirror, seed, FAMILIES, revive);
