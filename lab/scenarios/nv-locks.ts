/**
 * The locks of NV indices, the limit of writes without an owner, and the indices that are reserved
 * (TPM Main Part 3 §20, Part 2 §19.1).
 * @module
 */
import { CAP, commands, NV_INDEX, NV_PER, nvPublic, STARTUP } from '../../src/guest/index.js';
import { OWNER, type Recorder, scenario } from '../recorder/recorder.js';
import { bePresent, DIGEST, readFlags, restart, start } from './common.js';
import { DATA, define, everyWay, lock, OWNER_RW, read, write } from './nv-common.js';

function reserved(tpm: Recorder): void {
  for (const index of [NV_INDEX.DIR, NV_INDEX.LOCK, 0x0001_1600, 0x0001_16ff, 0x0000_f000]) {
    const name = `0x${index.toString(16)}`;
    everyWay(tpm, index, name);
    tpm.auth(`${name}: write 20 bytes`, write(index, 0, DIGEST), OWNER);
    tpm.auth(`${name}: read 20 bytes`, read(index, 0, 20), OWNER);
    tpm.do(`${name}: read 4 bytes at 16 without authorisation`, read(index, 16, 4));
    tpm.auth(`${name}: read 4 bytes at 17`, read(index, 17, 4), OWNER);
    tpm.do(`${name}: write nothing`, write(index, 0, new Uint8Array()));
  }
}

const NOTHING = new Uint8Array();
// biome-ignore format: table
const INDICES: readonly [number, string, number][] = [
  [0x1100, 'WRITEDEFINE',   NV_PER.WRITEDEFINE],
  [0x1101, 'WRITE_STCLEAR', NV_PER.WRITE_STCLEAR],
  [0x1102, 'READ_STCLEAR',  NV_PER.READ_STCLEAR],
  [0x1103, 'GLOBALLOCK',    NV_PER.GLOBALLOCK],
  [0x1104, 'WRITEALL',      NV_PER.WRITEALL],
  [0x1105, 'no lock',       0],
];

/** What may be written and read of each index, and what is public of it. */
function see(tpm: Recorder, when: string): void {
  for (const [index, name] of INDICES) {
    tpm.auth(`${when}: write ${name}`, write(index), OWNER);
    tpm.auth(`${when}: write a part of ${name}`, write(index, 1, Uint8Array.of(0x58)), OWNER);
    tpm.auth(`${when}: read ${name}`, read(index), OWNER);
    tpm.do(`${when}: what is public of ${name}`, commands.getCapability(CAP.NV_INDEX, index));
  }
}

/** Index 0, whose write sets the global lock. */
function lockGlobally(tpm: Recorder): void {
  tpm.do('write no bytes to index 0: the global lock', write(NV_INDEX.ZERO, 0, NOTHING));
  tpm.do('write a byte to index 0', write(NV_INDEX.ZERO, 0, Uint8Array.of(1)));
  tpm.auth('write no bytes to index 0 by the owner', write(NV_INDEX.ZERO, 0, NOTHING), OWNER);
  tpm.do('read index 0', read(NV_INDEX.ZERO, 0, 0));
}

function locks(tpm: Recorder): void {
  start(tpm);
  lock(tpm);
  for (const [index, name, bits] of INDICES) {
    tpm.define(`define ${name}`, nvPublic(index, DATA.length, OWNER_RW + bits));
  }
  see(tpm, 'at first');
  for (const [index, name] of INDICES) {
    tpm.auth(`write no bytes to ${name}`, write(index, 0, NOTHING), OWNER);
    tpm.auth(`read no bytes of ${name}`, read(index, 0, 0), OWNER);
  }
  see(tpm, 'after the locks');
  lockGlobally(tpm);
  see(tpm, 'after the global lock');
  restart(tpm);
  see(tpm, 'after a power cut');
  const again = nvPublic(0x1100, DATA.length, OWNER_RW + NV_PER.WRITEDEFINE);
  tpm.define('redefine WRITEDEFINE', again);
  tpm.auth('write it afterwards', write(0x1100), OWNER);
}

export const NV_LOCKS = [
  scenario(
    'nv-locks',
    'owned',
    'WRITEDEFINE, WRITE_STCLEAR, READ_STCLEAR, GLOBALLOCK, WRITEALL.',
    locks,
  ),

  scenario('nv-save-state', 'owned', 'NV locks across TPM_SaveState.', tpm => {
    start(tpm);
    lock(tpm);
    tpm.define(
      'define WRITE_STCLEAR',
      nvPublic(0x1101, DATA.length, OWNER_RW + NV_PER.WRITE_STCLEAR),
    );
    tpm.define('define GLOBALLOCK', nvPublic(0x1103, DATA.length, OWNER_RW + NV_PER.GLOBALLOCK));
    tpm.auth('write the first', write(0x1101), OWNER);
    tpm.auth('lock the first', write(0x1101, 0, new Uint8Array()), OWNER);
    tpm.do('the global lock', write(NV_INDEX.ZERO, 0, new Uint8Array()));
    tpm.do('TPM_SaveState', commands.saveState());
    tpm.powerCut();
    tpm.do('TPM_Startup(ST_STATE)', commands.startup(STARTUP.STATE));
    tpm.auth('write the first', write(0x1101), OWNER);
    tpm.auth('write the second', write(0x1103), OWNER);
    readFlags(tpm, 'resumed');
    restart(tpm);
    tpm.auth('cleared: write the first', write(0x1101), OWNER);
    tpm.auth('cleared: write the second', write(0x1103), OWNER);
  }),

  scenario('nv-limit', 'nothing', 'How often NV may be written without an owner.', tpm => {
    start(tpm);
    define(tpm, 'define an index', nvPublic(0x1100, 1, NV_PER.PPWRITE));
    tpm.do('write no change', write(0x1100, 0, Uint8Array.of(0xff)));
    for (let count = 1; count <= 65; count += 1) {
      tpm.do(`write ${count}`, write(0x1100, 0, Uint8Array.of(count)));
    }
    tpm.do('write no change', write(0x1100, 0, Uint8Array.of(63)));
    tpm.do('read', read(0x1100, 0, 1));
    define(tpm, 'define after the limit', nvPublic(0x1101, 1, NV_PER.PPWRITE));
    define(tpm, 'delete after the limit', nvPublic(0x1100, 0, NV_PER.PPWRITE));
    restart(tpm);
    tpm.do('after a power cut: a write', write(0x1100, 0, Uint8Array.of(0x70)));
    bePresent(tpm);
    tpm.do('with presence: a write', write(0x1100, 0, Uint8Array.of(0x71)));
    tpm.do('TPM_ForceClear', commands.forceClear());
    tpm.do('TPM_PhysicalEnable', commands.physicalEnable());
    tpm.do('TPM_PhysicalSetDeactivated(FALSE)', commands.physicalSetDeactivated(false));
    restart(tpm);
    tpm.do('after a clear: a write', write(0x1100, 0, Uint8Array.of(0x72)));
  }),

  scenario('nv-limit-owned', 'owned', 'The limit counts with an owner too, by the tag.', tpm => {
    start(tpm);
    lock(tpm);
    tpm.define('define for presence', nvPublic(0x1100, 1, NV_PER.PPWRITE));
    bePresent(tpm);
    tpm.define('define for presence, present', nvPublic(0x1100, 1, NV_PER.PPWRITE));
    tpm.define('define for the owner', nvPublic(0x1101, 1, OWNER_RW));
    for (let count = 1; count <= 65; count += 1) {
      tpm.do(`write ${count}`, write(0x1100, 0, Uint8Array.of(count)));
    }
    tpm.auth('a write by the owner', write(0x1101, 0, Uint8Array.of(1)), OWNER);
    define(tpm, 'define without authorisation', nvPublic(0x1102, 1, NV_PER.PPWRITE));
    tpm.define('define by the owner', nvPublic(0x1102, 1, OWNER_RW));
  }),

  scenario('nv-reserved-unlocked', 'owned', 'The DIR and such before the NV lock.', tpm => {
    start(tpm);
    reserved(tpm);
  }),

  scenario('nv-reserved', 'owned', 'The DIR, GPIO indices and other reserved places.', tpm => {
    start(tpm);
    lock(tpm);
    reserved(tpm);
    restart(tpm);
    tpm.do('after a power cut: the DIR', read(NV_INDEX.DIR, 0, 20));
  }),
];
