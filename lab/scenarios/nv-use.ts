/**
 * TPM_NV_WriteValue(Auth) and TPM_NV_ReadValue(Auth): who may use what, and which bytes of it (TPM
 * Main Part 3 §20).
 * @module
 */
import {
  CAP,
  commands,
  EVERY_LOCALITY,
  NV_PER,
  nvPublic,
  PRESENCE,
  PROPERTY,
  pcrsHolding,
} from '../../src/guest/index.js';
import { OWNER, type Recorder, scenario } from '../recorder/recorder.js';
import { bePresent, DIGEST, readFlags, restart, start } from './common.js';
import {
  AUTH_RW,
  DATA,
  define,
  everyWay,
  lock,
  NO_AUTH,
  OWNER_RW,
  read,
  write,
} from './nv-common.js';

// biome-ignore format: table
const PERMISSIONS: Readonly<Record<string, number>> = {
  'owner reads, owner writes':         OWNER_RW,
  'secret reads, secret writes':       AUTH_RW,
  'owner reads, secret writes':        NV_PER.OWNERREAD | NV_PER.AUTHWRITE,
  'secret reads, owner writes':        NV_PER.AUTHREAD | NV_PER.OWNERWRITE,
  'all read, owner writes':            NV_PER.OWNERWRITE,
  'all read, secret writes':           NV_PER.AUTHWRITE,
  'presence reads, presence writes':   NV_PER.PPREAD | NV_PER.PPWRITE,
  'presence and owner':                OWNER_RW | NV_PER.PPREAD | NV_PER.PPWRITE,
  'presence and secret':               AUTH_RW | NV_PER.PPREAD | NV_PER.PPWRITE,
  'owner reads, presence writes':      NV_PER.OWNERREAD | NV_PER.PPWRITE,
};

/** One index of each kind of permission, and every way to use it. */
function permissions(tpm: Recorder): void {
  let index = 0x1100;
  for (const [what, attributes] of Object.entries(PERMISSIONS)) {
    tpm.define(`define: ${what}`, nvPublic(index, DATA.length, attributes));
    everyWay(tpm, index, what);
    index += 1;
  }
}

export const NV_USE = [
  scenario(
    'nv-unlocked',
    'nothing',
    'NV without checks: before the NV lock, without owner.',
    tpm => {
      tpm.do(
        'before TPM_Startup: TPM_NV_DefineSpace',
        commands.nvDefineSpace(nvPublic(0x1100, 8, OWNER_RW), NO_AUTH),
      );
      start(tpm);
      define(tpm, 'define an index of the owner', nvPublic(0x1100, 8, OWNER_RW));
      define(tpm, 'define an index with a secret', nvPublic(0x1101, 8, AUTH_RW));
      define(
        tpm,
        'define an index for presence',
        nvPublic(0x1102, 8, NV_PER.PPREAD | NV_PER.PPWRITE),
      );
      for (const index of [0x1100, 0x1101, 0x1102, 0x1103])
        everyWay(tpm, index, `0x${index.toString(16)}`);
      lock(tpm);
      readFlags(tpm, 'locked');
      for (const index of [0x1100, 0x1101, 0x1102, 0x1103]) {
        everyWay(tpm, index, `locked, 0x${index.toString(16)}`);
      }
      define(tpm, 'define after the lock', nvPublic(0x1104, 8, OWNER_RW));
      define(tpm, 'delete after the lock', nvPublic(0x1100, 0, OWNER_RW));
      bePresent(tpm);
      for (const index of [0x1100, 0x1101, 0x1102])
        everyWay(tpm, index, `present, 0x${index.toString(16)}`);
      define(tpm, 'define with presence', nvPublic(0x1104, 8, OWNER_RW));
      define(tpm, 'define for presence with presence', nvPublic(0x1105, 8, NV_PER.PPWRITE));
      define(tpm, 'delete with presence', nvPublic(0x1100, 0, OWNER_RW));
      lock(tpm);
      restart(tpm);
      tpm.do('after a power cut: the NV indices', commands.getCapability(CAP.NV_LIST));
      everyWay(tpm, 0x1101, 'after a power cut, 0x1101');
    },
  ),

  scenario('nv-permissions-unlocked', 'owned', 'Who may use what before the NV lock.', tpm => {
    start(tpm);
    permissions(tpm);
  }),

  scenario('nv-permissions', 'owned', 'Who may use what after the NV lock.', tpm => {
    start(tpm);
    lock(tpm);
    permissions(tpm);
    bePresent(tpm);
    for (let index = 0x1106; index <= 0x1109; index += 1) {
      everyWay(tpm, index, `present, 0x${index.toString(16)}`);
    }
    tpm.do('not present', commands.physicalPresence(PRESENCE.NOTPRESENT));
    tpm.define('define for presence without presence', nvPublic(0x1110, 8, NV_PER.PPWRITE));
    restart(tpm);
    everyWay(tpm, 0x1100, 'after a power cut, 0x1100');
    everyWay(tpm, 0x1101, 'after a power cut, 0x1101');
  }),

  // No offset and size whose sum passes 2^32: libtpms adds them in 32 bits, and swtpm dies of it.
  scenario('nv-ranges', 'owned', 'Offsets and sizes, inside an index and outside.', tpm => {
    start(tpm);
    lock(tpm);
    tpm.define('define 16 bytes', nvPublic(0x1100, 16, OWNER_RW));
    tpm.auth('read before any write', read(0x1100, 0, 16), OWNER);
    const offsets = [
      [0, 8],
      [8, 8],
      [9, 8],
      [15, 1],
      [16, 0],
      [16, 1],
      [17, 0],
      [0, 16],
      [0, 17],
      [0xffff_ffff, 0],
    ];
    for (const [offset = 0, size = 0] of offsets) {
      const data = new Uint8Array(size).fill(offset + 1);
      tpm.auth(`write ${size} bytes at ${offset}`, write(0x1100, offset, data), OWNER);
      tpm.auth(`read ${size} bytes at ${offset}`, read(0x1100, offset, size), OWNER);
    }
    tpm.auth('read 4 GiB - 1 bytes', read(0x1100, 0, 0xffff_ffff), OWNER);
    tpm.auth('the whole', read(0x1100, 0, 16), OWNER);
    const short = write(0x1100);
    short.params[11] = 9;
    tpm.auth('a write whose data are shorter than it says', short, OWNER);
    const long = write(0x1100);
    long.params[11] = 7;
    tpm.auth('a write whose data are longer than it says', long, OWNER);
    tpm.define('define 4000 bytes', nvPublic(0x1101, 4000, OWNER_RW));
    tpm.auth('write 4000 bytes', write(0x1101, 0, new Uint8Array(4000).fill(7)), OWNER);
    tpm.auth('read 4000 bytes', read(0x1101, 0, 4000), OWNER);
    tpm.define('define 8000 bytes', nvPublic(0x1102, 8000, OWNER_RW));
    tpm.auth('read 8000 bytes', read(0x1102, 0, 8000), OWNER);
    tpm.auth('read 4041 bytes', read(0x1102, 0, 4041), OWNER);
    tpm.auth('read 4042 bytes', read(0x1102, 0, 4042), OWNER);
    tpm.define('define the rest', nvPublic(0x1103, 0x6000, OWNER_RW));
    tpm.do('what is free', commands.getCapability(CAP.PROPERTY, PROPERTY.MAX_NV_AVAILABLE));
    restart(tpm);
    tpm.auth('after a power cut: the first 16 bytes', read(0x1100, 0, 16), OWNER);
    tpm.auth('after a power cut: the 4000 bytes', read(0x1101, 0, 4000), OWNER);
  }),

  scenario('nv-pcrs', 'owned', 'Indices bound to PCRs and to localities.', tpm => {
    start(tpm);
    lock(tpm);
    const zeros = new Uint8Array(20);
    const toRead = { read: pcrsHolding(new Map([[10, zeros]])) };
    const toWrite = {
      write: pcrsHolding(
        new Map([
          [10, zeros],
          [16, zeros],
        ]),
      ),
    };
    const at2 = {
      read: pcrsHolding(new Map(), 0x04),
      write: pcrsHolding(new Map(), EVERY_LOCALITY - 1),
    };
    tpm.define('define: read while PCR 10 is zero', nvPublic(0x1100, 8, OWNER_RW, toRead));
    tpm.define(
      'define: write while PCRs 10 and 16 are zero',
      nvPublic(0x1101, 8, AUTH_RW, toWrite),
    );
    tpm.define('define: read at locality 2, write at 1 to 4', nvPublic(0x1102, 8, OWNER_RW, at2));
    tpm.define('define: read by all at locality 2', nvPublic(0x1103, 8, NV_PER.OWNERWRITE, at2));
    const see = (when: string): void => {
      for (const index of [0x1100, 0x1101, 0x1102, 0x1103]) {
        everyWay(tpm, index, `${when}, 0x${index.toString(16)}`);
      }
    };
    see('PCRs zero');
    tpm.do('TPM_Extend of PCR 16', commands.extend(16, DIGEST));
    see('PCR 16 extended');
    tpm.do('TPM_Extend of PCR 10', commands.extend(10, DIGEST));
    see('PCR 10 extended');
    for (const locality of [1, 2, 4]) {
      tpm.locality(locality);
      see(`locality ${locality}`);
    }
  }),
];
