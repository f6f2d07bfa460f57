/**
 * All commands of the engine, by the chapters of TPM Main Part 3. Whatever record a chapter exports
 * is a command of the TPM: the dispatcher finds it, and TPM_GetCapability(TPM_CAP_ORD) reports it.
 * @module
 */
import assert from 'node:assert/strict';
import { type Command, isCommand } from '../command.js';
import { CommandTable } from '../command-table.js';
import { ORDINALS } from '../ordinals.js';
import * as auditing from './auditing.js';
import * as authorisation from './authorisation.js';
import * as capability from './capability.js';
import * as certifiedMigration from './certified-migration.js';
import * as certify from './certify.js';
import * as changeAuth from './change-auth.js';
import * as changeAuthAsym from './change-auth-asym.js';
import * as counters from './counters.js';
import * as daa from './daa.js';
import * as delegationBlobs from './delegation-blobs.js';
import * as delegationFamilies from './delegation-families.js';
import * as delegationRows from './delegation-rows.js';
import * as deprecated from './deprecated.js';
import * as deprecatedContexts from './deprecated-contexts.js';
import * as dir from './dir.js';
import * as dsap from './dsap.js';
import * as endorsement from './endorsement.js';
import * as eviction from './eviction.js';
import * as identity from './identity.js';
import * as integrity from './integrity.js';
import * as management from './management.js';
import * as migration from './migration.js';
import * as nvStorage from './nv-storage.js';
import * as optIn from './opt-in.js';
import * as ownership from './ownership.js';
import * as presence from './presence.js';
import * as random from './random.js';
import * as sessionManagement from './session-management.js';
import * as setCapability from './set-capability.js';
import * as sha1 from './sha1.js';
import * as signing from './signing.js';
import * as startup from './startup.js';
import * as storage from './storage.js';
import * as testing from './testing.js';
import * as timing from './timing.js';
import * as transport from './transport.js';
import * as wrapKeys from './wrap-keys.js';

// biome-ignore format: table
const CHAPTERS: readonly object[] = [
  /* §3  */ startup,
  /* §4  */ testing,
  /* §5  */ optIn,
  /* §6  */ ownership, presence,
  /* §7  */ capability, setCapability,
  /* §8  */ auditing,
  /* §9  */ management,
  /* §10 */ storage, wrapKeys,
  /* §11 */ migration, certifiedMigration,
  /* §13 */ sha1, signing, random, certify,
  /* §14 */ endorsement,
  /* §15 */ identity,
  /* §16 */ integrity,
  /* §17 */ changeAuth,
  /* §18 */ authorisation, dsap,
  /* §19 */ delegationFamilies, delegationBlobs, delegationRows,
  /* §20 */ nvStorage,
  /* §21 */ sessionManagement,
  /* §22 */ eviction,
  /* §23 */ timing,
  /* §24 */ transport,
  /* §25 */ counters,
  /* §26 */ daa,
  /* §27 */ deprecated, deprecatedContexts, dir, changeAuthAsym,
];

/**
 * Bits of Part 2, §20.2.1, whose commands there are not: redirection, field upgrade, maintenance.
 */
const OWNER_BITS_OF_ABSENT = [6, 7, 19, 20, 21];
/** How many ordinals libtpms audits from the start (Part 3, §8, and its own choice). */
const AUDITED_FROM_START = 22;

const unusedBits = (of: 'owner' | 'key', bits: number): number[] => {
  const used = new Set(COMMANDS.all.map(({ delegable }) => delegable?.[of]));
  return Array.from({ length: bits }, (_, bit) => bit).filter(bit => !used.has(bit));
};
const isAuditedFromStart = ({ audited }: Command): boolean => audited === 'from the start';

/** The commands that the engine ships with. */
export const COMMANDS = new CommandTable(
  CHAPTERS.flatMap(chapter => Object.values(chapter).filter(isCommand)),
);

// A record that forgets its ordinal's chapter, a delegation bit or its audit is found here.
const missing = Object.values(ORDINALS).filter(ordinal => COMMANDS.get(ordinal) === undefined);
assert.deepEqual(missing, [], 'ordinals without a command');
assert.deepEqual(unusedBits('owner', 32), OWNER_BITS_OF_ABSENT, 'owner delegation bits');
assert.deepEqual(unusedBits('key', 28), [], 'key delegation bits');
assert.equal(COMMANDS.all.filter(isAuditedFromStart).length, AUDITED_FROM_START, 'audit defaults');
