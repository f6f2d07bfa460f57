/**
 * What swtpm 0.7.1 answers each control message, by the state of its TPM. One table for both: swtpm is
 * asked too, where it is installed (control-swtpm.test.ts).
 */

export interface Step {
  readonly title: string;
  readonly message: string;
  /** The response; of a longer one, how it begins. */
  readonly response: string;
  /** Where nvtpm departs from swtpm, on purpose. */
  readonly ours?: string;
}

const NOT_NOW = '0000000a';
const DONE = '00000000';
const LOCK_STORAGE = '00000013 00000001';
const SIZES = '00000000 00001000 00000c00 00001000';

type Row = readonly [title: string, message: string, response: string, ours?: string];
const steps = (state: string, rows: readonly Row[]): Step[] =>
  rows.map(([what, message, response, ours]) => ({
    ...{ title: `${state}: ${what}`, message, response },
    ...(ours === undefined ? {} : { ours }),
  }));

// biome-ignore format: table
const ALWAYS: readonly Row[] = [
  // Without STORE_VOLATILE (bit 6), and with LOCK_STORAGE (bit 16), which later versions of swtpm have.
  ['GET_CAPABILITY',            '00000001',                                     '0000000000007fff', '0000000000017fbf'],
  ['SET_LOCALITY 0',            '00000005 00000000',                            DONE],
  ['SET_LOCALITY without padding', '00000005 01',                               DONE],
  ['SET_LOCALITY with garbage', '00000005 01aabbcc',                            DONE],
  ['SET_LOCALITY 5',            '00000005 05000000',                            '0000003d'],
  ['SET_LOCALITY 0 again',      '00000005 00000000',                            DONE],
  ['GET_CONFIG',                '0000000f',                                     '00000000 00000000'],
  ['SET_DATAFD without one',    '00000010',                                     '0000001f'],
  ['SET_BUFFERSIZE 0',          '00000011 00000000',                            SIZES],
  ['GET_INFO of the specification', '00000012 0000000000000001 00000000 00000000', '00000000 0000003f 0000003f 7b225450'],
  ['GET_INFO from an offset',   '00000012 0000000000000001 00000010 00000000',  '00000000 0000003f 0000002f'],
  ['GET_INFO of nothing',       '00000012 0000000000000004 00000000 00000000',  '00000000 00000003 00000003 7b7d00'],
  ['number 0',                  '00000000',                                     NOT_NOW],
  ['number 20',                 '00000014',                                     NOT_NOW],
  ['number 2^32 - 1',           'ffffffff',                                     NOT_NOW],
];

// biome-ignore format: table
const OFF: readonly Row[] = [
  ...ALWAYS,
  ['GET_TPMESTABLISHED',        '00000004',                                     NOT_NOW],
  ['HASH_START',                '00000006',                                     NOT_NOW],
  ['HASH_DATA',                 '00000007 00000003 616263',                     NOT_NOW],
  ['HASH_END',                  '00000008',                                     NOT_NOW],
  ['CANCEL_TPM_CMD',            '00000009',                                     NOT_NOW],
  ['STORE_VOLATILE',            '0000000a',                                     NOT_NOW],
  ['RESET_TPMESTABLISHED',      '0000000b 03000000',                            NOT_NOW],
  ['GET_STATEBLOB',             '0000000c 00000001 00000001 00000000',          NOT_NOW],
  ['SET_STATEBLOB of nothing',  '0000000d 00000000 00000001 00000000',          DONE],
  ['SET_STATEBLOB of garbage',  '0000000d 00000000 00000001 00000004 01020304', '00000003'],
  ['SET_STATEBLOB of type 9',   '0000000d 00000000 00000009 00000004 01020304', '00000003'],
  ['SET_BUFFERSIZE below',      '00000011 00000001',                            '00000000 00000c00 00000c00 00001000'],
  ['SET_BUFFERSIZE above',      '00000011 00100000',                            SIZES],
];

// biome-ignore format: table
const ON: readonly Row[] = [
  ...ALWAYS,
  ['GET_TPMESTABLISHED',        '00000004',                                     '00000000 00000000'],
  ['CANCEL_TPM_CMD',            '00000009',                                     '00000009'],
  ['SET_STATEBLOB',             '0000000d 00000000 00000001 00000000',          NOT_NOW],
  ['SET_BUFFERSIZE 4096',       '00000011 00001000',                            NOT_NOW],
  ['GET_STATEBLOB 1',           '0000000c 00000001 00000001 00000000',          '00000000 00000000 000004a7 000004a7 0201000a 0004 000004a7 0004'],
  ['GET_STATEBLOB 1 from 256',  '0000000c 00000001 00000001 00000100',          '00000000 00000000 000003a7 000003a7'],
  ['GET_STATEBLOB 1 from its end', '0000000c 00000001 00000001 00100000',       '00000000 00000000 00000000 00000000'],
  ['GET_STATEBLOB 3, absent',   '0000000c 00000001 00000003 00000000',          '00000800 00000000 00000000 00000000'],
  ['GET_STATEBLOB 0, unknown',  '0000000c 00000001 00000000 00000000',          '00000800 00000000 00000000 00000000'],
  ['RESET_TPMESTABLISHED at 0', '0000000b 00000000',                            '0000003d'],
  ['RESET_TPMESTABLISHED at 5', '0000000b 05000000',                            '0000003d'],
];

// biome-ignore format: table
const STARTED: readonly Row[] = [
  ['RESET_TPMESTABLISHED at 3', '0000000b 03000000',                            DONE],
  ['HASH_START',                '00000006',                                     DONE],
  ['HASH_DATA',                 '00000007 00000003 616263',                     DONE],
  ['HASH_END',                  '00000008',                                     DONE],
  ['GET_TPMESTABLISHED',        '00000004',                                     '00000000 01000000'],
  ['RESET_TPMESTABLISHED',      '0000000b 04',                                  DONE],
  ['GET_TPMESTABLISHED',        '00000004',                                     '00000000 00000000'],
  // From here on the TPM is in failure mode.
  ['HASH_END without a start',  '00000008',                                     '0000001a'],
  ['HASH_DATA without a start', '00000007 00000003 616263',                     '0000001a'],
];

/** Before the TPM is on, after INIT, after TPM_Startup, after STOP. */
export const SCRIPT: readonly Step[] = [
  ...steps('before INIT', OFF),
  ...steps('before INIT', [['LOCK_STORAGE', LOCK_STORAGE, NOT_NOW, '00000009']]),
  ...steps('INIT', [['', '00000002 00000000', DONE]]),
  ...steps('after INIT', ON),
  ...steps('after INIT', [['LOCK_STORAGE', LOCK_STORAGE, NOT_NOW, DONE]]),
  ...steps('STOP', [
    ['', '0000000e', DONE],
    ['again', '0000000e', DONE],
  ]),
  ...steps('after STOP', OFF),
  ...steps('after STOP', [['LOCK_STORAGE', LOCK_STORAGE, NOT_NOW, DONE]]),
  ...steps('INIT again', [
    ['', '00000002 00000000', DONE],
    ['twice', '00000002 00000001', DONE],
  ]),
];
/** To be sent once TPM_Startup has come over the data channel. */
export const SCRIPT_STARTED: readonly Step[] = [
  ...steps('after TPM_Startup', STARTED),
  ...steps('STOP', [['', '0000000e', DONE]]),
];
