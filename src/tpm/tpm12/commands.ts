/**
 * All commands of the engine. This list is what TPM_GetCapability(TPM_CAP_ORD) tells from, and what
 * a new command is added to.
 * @module
 */
import assert from 'node:assert/strict';
import type { AnyCommand } from './command.js';
import * as audit from './commands/audit.js';
import * as authorisation from './commands/authorisation.js';
import * as capability from './commands/capability.js';
import * as certify from './commands/certify.js';
import * as changeAuth from './commands/change-auth.js';
import * as changeAuthAsym from './commands/change-auth-asym.js';
import * as cmk from './commands/cmk.js';
import * as context from './commands/context.js';
import * as counters from './commands/counters.js';
import * as daa from './commands/daa.js';
import * as delegation from './commands/delegation.js';
import * as dir from './commands/dir.js';
import * as dsap from './commands/dsap.js';
import * as endorsement from './commands/endorsement.js';
import * as identity from './commands/identity.js';
import * as integrity from './commands/integrity.js';
import * as keys from './commands/keys.js';
import * as lockout from './commands/lockout.js';
import * as migration from './commands/migration.js';
import * as nv from './commands/nv.js';
import * as optin from './commands/optin.js';
import * as ownership from './commands/ownership.js';
import * as random from './commands/random.js';
import * as selftest from './commands/selftest.js';
import * as setting from './commands/set-capability.js';
import * as sha1 from './commands/sha1.js';
import * as signing from './commands/signing.js';
import * as startup from './commands/startup.js';
import * as storage from './commands/storage.js';
import * as transport from './commands/transport.js';

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
  storage.seal,                          storage.sealx,                   storage.unseal,
  storage.unBind,
  keys.createWrapKey,                    keys.loadKey,                    keys.loadKey2,
  keys.getPubKey,                        keys.evictKey,                   keys.keyControlOwner,
  signing.sign,                          signing.quote,                   signing.quote2,
  signing.tickStampBlob,
  certify.certifyKey,                    certify.certifyKey2,
  startup.init,                          authorisation.reset,
  optin.setOwnerInstall,                 optin.ownerSetDisable,           optin.setTempDeactivated,
  optin.setOperatorAuth,                 ownership.disableOwnerClear,     ownership.disableForceClear,
  endorsement.ownerReadPubek,            endorsement.disablePubekRead,
  endorsement.createRevocableEK,         endorsement.revokeTrust,
  setting.setCapability,                 lockout.resetLockValue,
  changeAuth.changeAuth,                 changeAuth.changeAuthOwner,
  dir.dirWriteAuth,                      dir.dirRead,
  sha1.sha1Start,                        sha1.sha1Update,
  sha1.sha1Complete,                     sha1.sha1CompleteExtend,
  audit.getAuditDigest,                  audit.getAuditDigestSigned,      audit.setOrdinalAuditStatus,
  counters.createCounter,                counters.incrementCounter,       counters.readCounter,
  counters.releaseCounter,               counters.releaseCounterOwner,
  context.saveContext,                   context.loadContext,
  context.saveKeyContext,                context.loadKeyContext,
  context.saveAuthContext,               context.loadAuthContext,
  identity.makeIdentity,                 identity.activateIdentity,
  migration.authorizeMigrationKey,       migration.createMigrationBlob,
  migration.convertMigrationBlob,        migration.migrateKey,
  cmk.cmkSetRestrictions,                cmk.cmkApproveMA,                cmk.cmkCreateKey,
  cmk.cmkCreateTicket,                   cmk.cmkCreateBlob,               cmk.cmkConvertMigration,
  transport.establishTransport,          transport.executeTransport,      transport.releaseTransportSigned,
  dsap.dsap,                             dsap.setOwnerPointer,            delegation.delegateManage,
  delegation.delegateCreateKeyDelegation,   delegation.delegateCreateOwnerDelegation,
  delegation.delegateLoadOwnerDelegation,   delegation.delegateReadTable,
  delegation.delegateUpdateVerification,    delegation.delegateVerifyDelegation,
  daa.daaJoin,                           daa.daaSign,
  changeAuthAsym.changeAuthAsymStart,    changeAuthAsym.changeAuthAsymFinish,
];

export const commandsByOrdinal: ReadonlyMap<number, AnyCommand> = new Map(
  COMMANDS.map(command => [command.ordinal, command]),
);
assert.equal(commandsByOrdinal.size, COMMANDS.length, 'two commands have one ordinal');
