/**
 * All commands of the engine. This list is what TPM_GetCapability(TPM_CAP_ORD) tells from, and what
 * a new command is added to.
 * @module
 */
import assert from 'node:assert/strict';
import type { AnyCommand } from './command.js';
import * as authorisation from './commands/authorisation.js';
import * as capability from './commands/capability.js';
import * as endorsement from './commands/endorsement.js';
import * as integrity from './commands/integrity.js';
import * as nv from './commands/nv.js';
import * as optin from './commands/optin.js';
import * as ownership from './commands/ownership.js';
import * as random from './commands/random.js';
import * as selftest from './commands/selftest.js';
import * as startup from './commands/startup.js';

// biome-ignore format: table
export const COMMANDS: readonly AnyCommand[] = [
  startup.startup,                       startup.saveState,
  selftest.selfTestFull,                 selftest.continueSelfTest,       selftest.getTestResult,
  optin.physicalEnable,                  optin.physicalDisable,           optin.physicalSetDeactivated,
  optin.physicalPresence,                optin.resetEstablishmentBit,
  ownership.takeOwnership,               ownership.ownerClear,            ownership.forceClear,
  capability.getCapability,              capability.getCapabilityOwner,
  random.getRandom,                      random.stirRandom,               random.getTicks,
  endorsement.createEndorsementKeyPair,  endorsement.readPubek,           endorsement.ownerReadInternalPub,
  integrity.extend,                      integrity.pcrRead,               integrity.pcrReset,
  authorisation.oiap,                    authorisation.osap,
  authorisation.terminateHandle,         authorisation.flushSpecific,
  nv.nvDefineSpace,                      nv.nvWriteValue,                 nv.nvWriteValueAuth,
  nv.nvReadValue,                        nv.nvReadValueAuth,
];

export const commandsByOrdinal: ReadonlyMap<number, AnyCommand> = new Map(
  COMMANDS.map(command => [command.ordinal, command]),
);
assert.equal(commandsByOrdinal.size, COMMANDS.length, 'two commands have one ordinal');
