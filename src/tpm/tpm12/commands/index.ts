/**
 * All commands of the engine. This list is what TPM_GetCapability(TPM_CAP_ORD) tells from, and what
 * a new command is added to.
 * @module
 */
import assert from 'node:assert/strict';
import type { AnyCommand } from '../command.js';
import * as audit from './auditing.js';
import * as authorisation from './authorisation.js';
import * as capability from './capability.js';
import * as cmk from './certified-migration.js';
import * as certify from './certify.js';
import * as changeAuth from './change-auth.js';
import * as changeAuthAsym from './change-auth-asym.js';
import * as counters from './counters.js';
import * as daa from './daa.js';
import * as delegation from './delegation.js';
import * as dir from './dir.js';
import * as dsap from './dsap.js';
import * as endorsement from './endorsement.js';
import * as identity from './identity.js';
import * as integrity from './integrity.js';
import * as lockout from './management.js';
import * as migration from './migration.js';
import * as nv from './nv-storage.js';
import * as optin from './opt-in.js';
import * as ownership from './ownership.js';
import * as random from './random.js';
import * as context from './session-management.js';
import * as setting from './set-capability.js';
import * as sha1 from './sha1.js';
import * as signing from './signing.js';
import * as startup from './startup.js';
import * as storage from './storage.js';
import * as selftest from './testing.js';
import * as transport from './transport.js';
import * as keys from './wrap-keys.js';

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
