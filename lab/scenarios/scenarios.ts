/**
 * Every scenario that is recorded, by area.
 * @module
 */

import type { Scenario } from '../recorder/recorder.js';
import { CAPABILITIES } from './capabilities.js';
import { CERTIFIED_MIGRATIONS } from './certified-migration.js';
import { CERTIFYING } from './certifying.js';
import { CHANGES_OF_AUTH } from './change-auth.js';
import { CHANGES_OF_AUTH_ASYM } from './change-auth-asym.js';
import { CONTEXTS } from './contexts.js';
import { DAA } from './daa.js';
import { DELEGATIONS } from './delegations.js';
import { FAILURES } from './failures.js';
import { IDENTITIES } from './identities.js';
import { KEYS } from './keys.js';
import { MALFORMED } from './malformed.js';
import { MIGRATIONS } from './migration.js';
import { NV_DEFINE } from './nv-define.js';
import { NV_LOCKS } from './nv-locks.js';
import { NV_USE } from './nv-use.js';
import { OPT_INS } from './opt-in.js';
import { OWNERS } from './owner.js';
import { OWNERSHIP } from './ownership.js';
import { PCRS } from './pcrs.js';
import { PRESENCES } from './presence.js';
import { REGISTERS } from './registers.js';
import { SEALING } from './sealing.js';
import { SESSIONS } from './sessions.js';
import { SET_CAPABILITIES } from './set-capability.js';
import { SIGNATURES } from './signing.js';
import { STARTUPS } from './startups.js';

export const SCENARIOS: readonly Scenario[] = [
  ...STARTUPS,
  ...CAPABILITIES,
  ...PCRS,
  ...SESSIONS,
  ...OWNERSHIP,
  ...NV_DEFINE,
  ...NV_USE,
  ...NV_LOCKS,
  ...PRESENCES,
  ...MALFORMED,
  ...FAILURES,
  ...KEYS,
  ...SEALING,
  ...SIGNATURES,
  ...CERTIFYING,
  ...OPT_INS,
  ...SET_CAPABILITIES,
  ...CHANGES_OF_AUTH,
  ...OWNERS,
  ...REGISTERS,
  ...CONTEXTS,
  ...IDENTITIES,
  ...MIGRATIONS,
  ...CERTIFIED_MIGRATIONS,
  ...CHANGES_OF_AUTH_ASYM,
  ...DELEGATIONS,
  ...DAA,
];
