/**
 * TPM_NV_DefineSpace: what may be defined, by whom, before and after the NV lock (TPM Main Part 3
 * §20.1).
 * @module
 */
import {
  CAP,
  type Command,
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  NV_INDEX,
  NV_PER,
  type NvDataPublic,
  nvPublic,
  pcrsHolding,
} from '../../src/guest/index.js';
import { AREA, OWNER, type Recorder, scenario, WRONG } from '../recorder/recorder.js';
import { readFlags, restart, start } from './common.js';
import { AUTH_RW, define, lock, NO_AUTH, OWNER_RW, writeAuth } from './nv-common.js';

const DEFINITIONS: readonly [what: string, pub: NvDataPublic][] = [
  ['no permission at all', nvPublic(0x1100, 8, 0)],
  ['only read permissions', nvPublic(0x1100, 8, NV_PER.OWNERREAD)],
  ['owner and secret both to write', nvPublic(0x1100, 8, NV_PER.OWNERWRITE | NV_PER.AUTHWRITE)],
  [
    'owner and secret both to read',
    nvPublic(0x1101, 8, NV_PER.OWNERWRITE | NV_PER.OWNERREAD | NV_PER.AUTHREAD),
  ],
  ['attribute bits that are reserved', nvPublic(0x1102, 8, OWNER_RW + 0x0800)],
  ['index 0xffffffff of size 8', nvPublic(NV_INDEX.LOCK, 8, OWNER_RW)],
  ['index 0', nvPublic(0, 8, OWNER_RW)],
  ['index 0 of size 0', nvPublic(0, 0, OWNER_RW)],
  ['the DIR index', nvPublic(NV_INDEX.DIR, 20, OWNER_RW)],
  ['a GPIO index', nvPublic(0x0001_1600, 1, OWNER_RW)],
  ['the last GPIO index', nvPublic(0x0001_16ff, 1, OWNER_RW)],
  ['the EK certificate index', nvPublic(0x0000_f000, 8, OWNER_RW)],
  ['the EK certificate index with D bit', nvPublic(0x1000_f000, 8, OWNER_RW)],
  ['the trial index', nvPublic(0x0000_f004, 8, OWNER_RW)],
  ['the trial index, too large', nvPublic(0x0000_f004, 0x0001_0000, OWNER_RW)],
  ['reserved index bits', nvPublic(0x0100_1103, 8, OWNER_RW)],
  ['the T bit', nvPublic(0x8000_1104, 8, OWNER_RW)],
  ['the P bit', nvPublic(0x4000_1105, 8, OWNER_RW)],
  ['the U bit', nvPublic(0x2000_1106, 8, OWNER_RW)],
  ['the D bit', nvPublic(0x1000_1107, 8, OWNER_RW)],
  ['a size of 0 where there is none', nvPublic(0x1108, 0, OWNER_RW)],
  ['1 byte', nvPublic(0x1109, 1, OWNER_RW)],
  ['more than there is', nvPublic(0x110a, 28_673, OWNER_RW)],
  ['a size of 4 GiB - 1', nvPublic(0x110a, 0xffff_ffff, OWNER_RW)],
  ['readSTClear set', { ...nvPublic(0x110b, 8, OWNER_RW), readSTClear: true }],
  ['writeSTClear set', { ...nvPublic(0x110c, 8, OWNER_RW), writeSTClear: true }],
  ['writeDefine set', { ...nvPublic(0x110d, 8, OWNER_RW), writeDefine: true }],
  [
    'locality none to read',
    nvPublic(0x110e, 8, OWNER_RW, { read: { ...pcrsHolding(new Map()), localityAtRelease: 0 } }),
  ],
  [
    'a locality that there is not',
    nvPublic(0x110f, 8, OWNER_RW, { read: pcrsHolding(new Map(), 0x20) }),
  ],
  [
    'a PCR selection of 2 bytes',
    nvPublic(0x1110, 8, OWNER_RW, {
      read: { ...pcrsHolding(new Map()), pcrSelection: new Uint8Array(2) },
    }),
  ],
  [
    'a PCR selection of 4 bytes',
    nvPublic(0x1111, 8, OWNER_RW, {
      read: { ...pcrsHolding(new Map()), pcrSelection: new Uint8Array(4) },
    }),
  ],
  [
    'a PCR selection of 0 bytes',
    nvPublic(0x1112, 8, OWNER_RW, {
      read: { ...pcrsHolding(new Map()), pcrSelection: new Uint8Array() },
    }),
  ],
];

/** Encodes a define command with one byte of its parameters changed. */
function bentDefine(at: number, value: number): Command<object> {
  const command = commands.nvDefineSpace(nvPublic(0x1120, 8, OWNER_RW), NO_AUTH);
  command.params[at] = value;
  return command;
}

function definitions(tpm: Recorder, def: (what: string, pub: NvDataPublic) => void): void {
  for (const [what, pub] of DEFINITIONS) def(`define ${what}`, pub);
  tpm.do('the NV indices', commands.getCapability(CAP.NV_LIST));
  for (const [, { nvIndex }] of DEFINITIONS) {
    const name = `NV index 0x${nvIndex.toString(16)}`;
    tpm.do(name, commands.getCapability(CAP.NV_INDEX, nvIndex));
  }
}

export const NV_DEFINE = [
  scenario('nv-define-unlocked', 'nothing', 'TPM_NV_DefineSpace before the NV lock.', tpm => {
    start(tpm);
    definitions(tpm, (what, pub) => define(tpm, what, pub));
    tpm.do('another tag than TPM_NV_DATA_PUBLIC', bentDefine(1, 0x19));
    tpm.do('another tag than TPM_NV_ATTRIBUTES', bentDefine(59, 0x18));
    tpm.do('a boolean of 2', bentDefine(64, 2));
    define(tpm, 'define 0x1109 again, larger', nvPublic(0x1109, 8, OWNER_RW));
    define(tpm, 'delete 0x1109', nvPublic(0x1109, 0, OWNER_RW));
    define(tpm, 'delete 0x1109 again', nvPublic(0x1109, 0, OWNER_RW));
    tpm.do('the NV indices', commands.getCapability(CAP.NV_LIST));
    readFlags(tpm, 'before the lock');
  }),

  scenario(
    'nv-define-owned',
    'owned',
    'TPM_NV_DefineSpace by the owner, before and after the lock.',
    tpm => {
      start(tpm);
      definitions(tpm, (what, pub) => tpm.define(what, pub));
      tpm.define('the NV lock, by the owner', nvPublic(NV_INDEX.LOCK, 0, 0));
      define(tpm, 'the NV lock of a size', nvPublic(NV_INDEX.LOCK, 1, 0));
      lock(tpm);
      readFlags(tpm, 'locked');
      tpm.define('define after the lock', nvPublic(0x1200, 8, OWNER_RW));
      tpm.define('define after the lock, wrong secret', nvPublic(0x1201, 8, OWNER_RW), WRONG);
      define(tpm, 'define after the lock without authorisation', nvPublic(0x1202, 8, OWNER_RW));
      tpm.define('redefine 0x1200', nvPublic(0x1200, 16, OWNER_RW));
      tpm.define('delete 0x1200', nvPublic(0x1200, 0, OWNER_RW));
      tpm.define('delete 0x1200 again', nvPublic(0x1200, 0, OWNER_RW));
      const pub = nvPublic(0x1203, 8, OWNER_RW);
      tpm.auth('define in an OIAP session', commands.nvDefineSpace(pub, AREA), OWNER);
      const session = tpm.osap('a session for continueAuth 1', ENTITY.OWNER, HANDLE.OWNER, OWNER);
      if (session !== undefined) {
        const command = commands.nvDefineSpace(
          nvPublic(0x1204, 8, AUTH_RW),
          encryptAuth(session, AREA),
        );
        const again = tpm.auth('define, continueAuth 1', command, OWNER, { session, goOn: true });
        tpm.auth('that session again', commands.ownerReadInternalPub(HANDLE.EK), OWNER, {
          session: again.session ?? session,
        });
      }
      tpm.auth('the secret that came encrypted', writeAuth(0x1204), AREA);
      restart(tpm);
      tpm.do('after a power cut: the NV indices', commands.getCapability(CAP.NV_LIST));
    },
  ),
];
