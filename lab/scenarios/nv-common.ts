/**
 * What the NV scenarios share: data, permissions, and every way to use an index.
 * @module
 */
import { commands, NV_INDEX, NV_PER, type NvDataPublic, nvPublic } from '../../src/guest/index.js';
import { AREA, OWNER, type Recorder, WRONG } from '../recorder/recorder.js';

export const DATA = new TextEncoder().encode('nv-data!');
export const OWNER_RW = NV_PER.OWNERREAD | NV_PER.OWNERWRITE;
export const AUTH_RW = NV_PER.AUTHREAD | NV_PER.AUTHWRITE;
export const NO_AUTH = new Uint8Array(20);

export const write = (index: number, offset = 0, data = DATA) =>
  commands.nvWriteValue(index, offset, data);
export const writeAuth = (index: number, offset = 0, data = DATA) =>
  commands.nvWriteValue(index, offset, data, true);
export const read = (index: number, offset = 0, size = DATA.length) =>
  commands.nvReadValue(index, offset, size);
export const readAuth = (index: number, offset = 0, size = DATA.length) =>
  commands.nvReadValue(index, offset, size, true);

/** Defines without a session, which the TPM allows before the NV lock. */
export const define = (tpm: Recorder, what: string, pub: NvDataPublic): void => {
  tpm.do(what, commands.nvDefineSpace(pub, NO_AUTH));
};

/** From now on all checks are made, for the life of the TPM. */
export const lock = (tpm: Recorder): void => {
  define(tpm, 'the NV lock', nvPublic(NV_INDEX.LOCK, 0, 0));
};

/** Reads and writes an index in every way there is. */
export function everyWay(tpm: Recorder, index: number, when: string): void {
  tpm.do(`${when}: a write without authorisation`, write(index));
  tpm.auth(`${when}: a write by the owner`, write(index), OWNER);
  tpm.auth(`${when}: a write by the owner, wrong secret`, write(index), WRONG);
  tpm.auth(`${when}: a write by the index's secret`, writeAuth(index), AREA);
  tpm.auth(`${when}: a write by the index's secret, wrong`, writeAuth(index), WRONG);
  tpm.do(`${when}: a read without authorisation`, read(index));
  tpm.auth(`${when}: a read by the owner`, read(index), OWNER);
  tpm.auth(`${when}: a read by the owner, wrong secret`, read(index), WRONG);
  tpm.auth(`${when}: a read by the index's secret`, readAuth(index), AREA);
  tpm.auth(`${when}: a read by the index's secret, wrong`, readAuth(index), WRONG);
}
