/**
 * OIAP, OSAP and their ends: rolling nonces, wrong HMACs, exhaustion, TPM_FlushSpecific and
 * TPM_Terminate_Handle (TPM Main Part 3 §18, §22 and §28).
 * @module
 */
import {
  authorised,
  CAP,
  commands,
  ENTITY,
  HANDLE,
  NV_PER,
  nvPublic,
  PROPERTY,
  RESOURCE,
} from '../../src/guest/index.js';
import { AREA, OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { restart, start } from './common.js';

const MORE_SESSIONS_THAN_THERE_ARE = 17;
const readEk = () => commands.ownerReadInternalPub(HANDLE.EK);

/** Sends an authorised command of which one byte, counted from the end, is another. */
function bent(tpm: Recorder, what: string, fromEnd: number): void {
  const session = tpm.oiap(`a session: ${what}`);
  if (session === undefined) return;
  const { request } = authorised(readEk(), { session, secret: OWNER, nonceOdd: tpm.nonce() });
  request[request.length - fromEnd]! ^= 0x40;
  tpm.raw(what, request);
  tpm.auth(`${what}: is the session still there`, readEk(), OWNER, { session });
}

export const SESSIONS = [
  scenario('sessions-oiap', 'owned', 'OIAP: one use, many uses, wrong uses.', tpm => {
    tpm.oiap('before TPM_Startup: TPM_OIAP');
    start(tpm);
    const once = tpm.oiap('a session for one use');
    tpm.auth('its use, continueAuth 0', readEk(), OWNER, { session: once });
    tpm.auth('its second use', readEk(), OWNER, { session: once });

    let session = tpm.oiap('a session for many uses');
    const first = session;
    for (const use of [1, 2, 3]) {
      session = tpm.auth(`use ${use}, continueAuth 1`, readEk(), OWNER, {
        session,
        goOn: true,
      }).session;
    }
    tpm.auth('its first nonce again', readEk(), OWNER, { session: first, goOn: true });
    tpm.auth('the right nonce after that', readEk(), OWNER, { session });

    session = tpm.oiap('a session for a wrong secret');
    tpm.auth('the wrong secret, continueAuth 1', readEk(), WRONG, { session, goOn: true });
    tpm.auth('the right secret after that', readEk(), OWNER, { session });

    session = tpm.oiap('a session for a command that fails otherwise');
    const noKey = commands.ownerReadInternalPub(0x1234);
    tpm.auth('a bad parameter, continueAuth 1', noKey, OWNER, { session, goOn: true });
    tpm.auth('is the session still there', readEk(), OWNER, { session });

    bent(tpm, 'a wrong HMAC', 1);
    bent(tpm, 'another continueAuth than signed', 21);
    bent(tpm, 'another nonceOdd than signed', 22);
    bent(tpm, 'a handle of no session', 45);
    bent(tpm, 'another parameter than signed', 46);
  }),

  scenario('sessions-continue', 'owned', 'continueAuth bytes that are neither 0 nor 1.', tpm => {
    start(tpm);
    for (const byte of [2, 0x80, 0xff]) {
      const session = tpm.oiap(`a session for continueAuth ${byte}`);
      if (session === undefined) continue;
      const { request } = authorised(readEk(), { session, secret: OWNER, nonceOdd: tpm.nonce() });
      request[request.length - 21] = byte;
      tpm.raw(`continueAuth ${byte}`, request);
    }
  }),

  scenario('sessions-osap', 'owned', 'OSAP: entities that there are and are not.', tpm => {
    start(tpm);
    let session = tpm.osap('the owner', ENTITY.OWNER, HANDLE.OWNER, OWNER);
    session = tpm.auth('a use, continueAuth 1', readEk(), OWNER, { session, goOn: true }).session;
    session = tpm.auth('a second use, continueAuth 1', readEk(), OWNER, {
      session,
      goOn: true,
    }).session;
    tpm.auth('a last use', readEk(), OWNER, { session });
    tpm.auth('one use too many', readEk(), OWNER, { session });

    session = tpm.osap('the owner by a value that is ignored', ENTITY.OWNER, 0x1234, OWNER);
    tpm.auth('its use', readEk(), OWNER, { session });
    session = tpm.osap('the owner, wrong secret', ENTITY.OWNER, HANDLE.OWNER, WRONG);
    tpm.auth('the wrong secret shows at the use', readEk(), WRONG, { session, goOn: true });
    tpm.auth('and the session after that', readEk(), WRONG, { session });
    session = tpm.osap('the SRK', ENTITY.SRK, HANDLE.SRK, SRK);
    tpm.auth('the SRK is not the owner', readEk(), SRK, { session });
    session = tpm.osap('the SRK as a key', ENTITY.KEYHANDLE, HANDLE.SRK, SRK);
    tpm.osap('a key that is none', ENTITY.KEYHANDLE, 0x1234, SRK);
    tpm.osap('the EK as a key', ENTITY.KEYHANDLE, HANDLE.EK, SRK);
    tpm.osap('an NV index that is none', ENTITY.NV, 0x1100, AREA);
    for (const entity of [0, 3, 5, 6, 7, 0x0a, 0x0c, 0x0d, 0x40, 0x0102, 0x0602, 0xff02]) {
      tpm.osap(`entity type 0x${entity.toString(16)}`, entity, 0, SRK);
    }
    tpm.define('define an NV index', nvPublic(0x1100, 4, NV_PER.AUTHREAD | NV_PER.AUTHWRITE));
    session = tpm.osap('that NV index', ENTITY.NV, 0x1100, AREA);
    const write = commands.nvWriteValue(0x1100, 0, Uint8Array.of(1, 2, 3, 4), true);
    session = tpm.auth('a write under it', write, AREA, { session, goOn: true }).session;
    tpm.auth('a read under it', commands.nvReadValue(0x1100, 0, 4, true), AREA, { session });
    session = tpm.osap('that NV index again', ENTITY.NV, 0x1100, AREA);
    tpm.auth('it is not the owner', readEk(), AREA, { session });
  }),

  scenario('sessions-unowned', 'ek', 'Sessions where there is no owner.', tpm => {
    start(tpm);
    tpm.osap('the owner', ENTITY.OWNER, HANDLE.OWNER, OWNER);
    tpm.osap('the SRK', ENTITY.SRK, HANDLE.SRK, SRK);
    tpm.osap('the SRK as a key', ENTITY.KEYHANDLE, HANDLE.SRK, SRK);
    tpm.osap('an NV index', ENTITY.NV, 0x1100, AREA);
    tpm.auth('an owner command', readEk(), OWNER);
    tpm.auth('an owner command with a secret of zeros', readEk(), SRK);
  }),

  scenario('sessions-many', 'owned', 'More sessions than there is room for.', tpm => {
    start(tpm);
    const handles: number[] = [];
    for (let count = 1; count <= MORE_SESSIONS_THAN_THERE_ARE; count += 1) {
      const session = tpm.oiap(`session ${count}`);
      if (session !== undefined) handles.push(session.handle);
    }
    tpm.osap('an OSAP session more', ENTITY.OWNER, HANDLE.OWNER, OWNER);
    tpm.do('the handles', commands.getCapability(CAP.HANDLE, RESOURCE.AUTH));
    tpm.do('how many are free', commands.getCapability(CAP.PROPERTY, PROPERTY.AUTHSESS));
    tpm.do('the TPM_FlushSpecific of one', commands.flushSpecific(handles[3] ?? 0, RESOURCE.AUTH));
    tpm.oiap('a session in its place');
    tpm.do('the handles now', commands.getCapability(CAP.HANDLE, RESOURCE.AUTH));
    tpm.do('TPM_Terminate_Handle of one', commands.terminateHandle(handles[5] ?? 0));
    tpm.do('TPM_Terminate_Handle of it again', commands.terminateHandle(handles[5] ?? 0));
    tpm.do('TPM_FlushSpecific of it', commands.flushSpecific(handles[5] ?? 0, RESOURCE.AUTH));
    for (const type of [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 0xffff_ffff]) {
      const name = `TPM_FlushSpecific of a session as resource type ${type}`;
      tpm.do(name, commands.flushSpecific(handles[6] ?? 0, type));
    }
    tpm.do('TPM_FlushSpecific of the SRK', commands.flushSpecific(HANDLE.SRK, RESOURCE.KEY));
    tpm.do('TPM_FlushSpecific of the EK', commands.flushSpecific(HANDLE.EK, RESOURCE.KEY));
    tpm.do('TPM_FlushSpecific of no key', commands.flushSpecific(0x1234, RESOURCE.KEY));
    tpm.do('TPM_Terminate_Handle of the SRK', commands.terminateHandle(HANDLE.SRK));
    restart(tpm);
    tpm.do('after a power cut: the handles', commands.getCapability(CAP.HANDLE, RESOURCE.AUTH));
  }),

  scenario('random', 'nothing', 'TPM_GetRandom of every kind of size.', tpm => {
    start(tpm);
    for (const count of [0, 1, 20, 4000, 4082, 4083, 4096, 0x0001_0000, 0xffff_ffff]) {
      tpm.do(`${count} bytes`, commands.getRandom(count));
    }
  }),
];
