/**
 * The list of all commands, drawn again by hand from the ordinals of TPM Main Part 2, §17 (the
 * numbers) and the tags that libtpms takes for each (the sessions).
 */
import test from 'ava';
import { COMMANDS } from '../../src/tpm/tpm12/commands.js';

// biome-ignore format: table
const EXPECTED: readonly (readonly [number, string, string, string])[] = [
  [0x0a,        'TPM_OIAP',                     'none',     'working'],
  [0x0b,        'TPM_OSAP',                     'none',     'workingOwned'],
  [0x0d,        'TPM_TakeOwnership',            'one',      'enabled'],
  [0x14,        'TPM_Extend',                   'none',     'working'],
  [0x15,        'TPM_PcrRead',                  'none',     'operational'],
  [0x46,        'TPM_GetRandom',                'none',     'operational'],
  [0x47,        'TPM_StirRandom',               'none',     'operational'],
  [0x50,        'TPM_SelfTestFull',             'none',     'working'],
  [0x53,        'TPM_ContinueSelfTest',         'none',     'working'],
  [0x54,        'TPM_GetTestResult',            'none',     'started'],
  [0x5b,        'TPM_OwnerClear',               'one',      'owned'],
  [0x5d,        'TPM_ForceClear',               'none',     'operational'],
  [0x65,        'TPM_GetCapability',            'none',     'started'],
  [0x66,        'TPM_GetCapabilityOwner',       'one',      'owned'],
  [0x6f,        'TPM_PhysicalEnable',           'none',     'working'],
  [0x70,        'TPM_PhysicalDisable',          'none',     'enabled'],
  [0x72,        'TPM_PhysicalSetDeactivated',   'none',     'enabled'],
  [0x78,        'TPM_CreateEndorsementKeyPair', 'none',     'operational'],
  [0x7c,        'TPM_ReadPubek',                'none',     'operational'],
  [0x81,        'TPM_OwnerReadInternalPub',     'one',      'owned'],
  [0x96,        'TPM_Terminate_Handle',         'none',     'working'],
  [0x98,        'TPM_SaveState',                'none',     'working'],
  [0x99,        'TPM_Startup',                  'none',     'always'],
  [0xba,        'TPM_FlushSpecific',            'none',     'working'],
  [0xc8,        'TPM_PCR_Reset',                'none',     'working'],
  [0xcc,        'TPM_NV_DefineSpace',           'optional', 'nvDefine'],
  [0xcd,        'TPM_NV_WriteValue',            'optional', 'working'],
  [0xce,        'TPM_NV_WriteValueAuth',        'one',      'owned'],
  [0xcf,        'TPM_NV_ReadValue',             'optional', 'working'],
  [0xd0,        'TPM_NV_ReadValueAuth',         'one',      'owned'],
  [0xf1,        'TPM_GetTicks',                 'none',     'operational'],
  [0x4000_000a, 'TSC_PhysicalPresence',         'none',     'working'],
  [0x4000_000b, 'TSC_ResetEstablishmentBit',    'none',     'working'],
];

test('these are all the commands', t => {
  const found = COMMANDS.map(({ ordinal, name, auth, when }) => [ordinal, name, auth, when]);
  t.deepEqual(
    found.toSorted(([a], [b]) => Number(a) - Number(b)),
    EXPECTED.map(row => [...row]),
  );
});
