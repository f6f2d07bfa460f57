/**
 * TPM_GetCapability: every area, property and flag, and sub-capabilities of every wrong size (TPM
 * Main Part 3 §7, Part 2 §21).
 * @module
 */
import {
  CAP,
  commands,
  ENTITY,
  FLAG,
  HANDLE,
  NV_PER,
  nvPublic,
  ORDINALS,
  PROPERTY,
  STARTUP,
} from '../../src/guest/index.js';
import { OWNER, type Recorder, SRK, scenario } from '../recorder/recorder.js';

const MANY_ORDINALS = Array.from({ length: 0x100 }, (_, ordinal) => ordinal);

function everyArea(tpm: Recorder): void {
  for (let area = 0; area <= 0x20; area += 1) {
    tpm.do(`area ${area} without a sub-capability`, commands.getCapability(area));
    tpm.do(`area ${area} of 0`, commands.getCapability(area, 0));
    tpm.do(`area ${area} of 1`, commands.getCapability(area, 1));
    tpm.do(`area ${area} of 3 bytes`, commands.getCapability(area, Uint8Array.of(0, 0, 1)));
    tpm.do(`area ${area} of 5 bytes`, commands.getCapability(area, Uint8Array.of(0, 0, 0, 1, 2)));
  }
  tpm.do('area 0xffffffff', commands.getCapability(0xffff_ffff, 1));
}

function everyProperty(tpm: Recorder): void {
  for (let property = 0x100; property <= 0x128; property += 1) {
    const name = `property 0x${property.toString(16)}`;
    tpm.do(name, commands.getCapability(CAP.PROPERTY, property));
  }
  for (const flag of [0x107, FLAG.PERMANENT, FLAG.VOLATILE, 0x10a]) {
    tpm.do(`flags 0x${flag.toString(16)}`, commands.getCapability(CAP.FLAG, flag));
  }
}

export const CAPABILITIES = [
  scenario('capabilities', 'nothing', 'TPM_GetCapability of a new TPM.', tpm => {
    tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
    everyArea(tpm);
    everyProperty(tpm);
    for (let id = 0; id <= 0x0c; id += 1) {
      tpm.do(`algorithm ${id}`, commands.getCapability(CAP.ALG, id));
      tpm.do(`protocol ${id}`, commands.getCapability(CAP.PID, Uint8Array.of(0, id)));
      tpm.do(`symmetric mode ${id}`, commands.getCapability(CAP.SYM_MODE, id));
      tpm.do(`transport encryption ${id}`, commands.getCapability(CAP.TRANS_ALG, id));
      tpm.do(`transport scheme ${id}`, commands.getCapability(CAP.TRANS_ES, Uint8Array.of(0, id)));
      tpm.do(`authorisation encryption ${id}`, commands.getCapability(CAP.AUTH_ENCRYPT, id));
      tpm.do(`handles of resource type ${id}`, commands.getCapability(CAP.HANDLE, id));
    }
    for (let size = 0; size <= 5; size += 1) {
      const request = Uint8Array.of(1, 1, 0, size);
      tpm.do(`a PCR selection of ${size} bytes`, commands.getCapability(CAP.SELECT_SIZE, request));
    }
  }),

  scenario('capabilities-ordinals', 'nothing', 'Which ordinals there are.', tpm => {
    tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
    for (const ordinal of [
      ...MANY_ORDINALS,
      0x0fff,
      ...[8, 9, 10, 11, 12].map(n => 0x4000_0000 + n),
    ]) {
      const name = `ordinal 0x${ordinal.toString(16)}`;
      tpm.do(name, commands.getCapability(CAP.ORD, ordinal));
    }
  }),

  scenario('capabilities-owned', 'owned', 'TPM_GetCapability where there is something.', tpm => {
    tpm.do('before TPM_Startup: a property', commands.getCapability(CAP.PROPERTY, PROPERTY.OWNER));
    tpm.do('TPM_Startup(ST_CLEAR)', commands.startup(STARTUP.CLEAR));
    everyProperty(tpm);
    for (const [index, size] of [
      [0x1101, 8],
      [0x1100, 16],
      [0x1200, 1],
    ] as const) {
      tpm.define(`define 0x${index.toString(16)}`, nvPublic(index, size, NV_PER.OWNERWRITE));
    }
    tpm.do('the NV indices', commands.getCapability(CAP.NV_LIST));
    tpm.do('the NV indices, with a sub-capability', commands.getCapability(CAP.NV_LIST, 0x1100));
    for (const index of [0x1100, 0x1101, 0x1200, 0x1300, 0, 0xffff_ffff, 0x1000_0001]) {
      const name = `NV index 0x${index.toString(16)}`;
      tpm.do(name, commands.getCapability(CAP.NV_INDEX, index));
    }
    tpm.do('an NV index of 2 bytes', commands.getCapability(CAP.NV_INDEX, Uint8Array.of(0x11, 0)));
    tpm.do('key handles', commands.getCapability(CAP.KEY_HANDLE));
    tpm.do('key handles as handles', commands.getCapability(CAP.HANDLE, 1));
    tpm.oiap('an OIAP session');
    tpm.osap('an OSAP session', ENTITY.SRK, HANDLE.SRK, SRK);
    tpm.do('session handles', commands.getCapability(CAP.HANDLE, 2));
    tpm.do('sessions that are free', commands.getCapability(CAP.PROPERTY, PROPERTY.AUTHSESS));
    tpm.do(
      'NV space that is free',
      commands.getCapability(CAP.PROPERTY, PROPERTY.MAX_NV_AVAILABLE),
    );
    tpm.do('status of a key that is none', commands.getCapability(CAP.KEY_STATUS, 0x1234));
    tpm.do('status of the SRK', commands.getCapability(CAP.KEY_STATUS, HANDLE.SRK));
    tpm.do('status of the EK', commands.getCapability(CAP.KEY_STATUS, HANDLE.EK));
    for (const entity of [0, 1, 2, 4, 5, 0x0a, 0x0b, 0x0c]) {
      const subCap = Uint8Array.of(0, entity);
      tpm.do(`dictionary attacks on ${entity}`, commands.getCapability(CAP.DA_LOGIC, subCap));
    }
    tpm.auth('TPM_GetCapabilityOwner', commands.getCapabilityOwner(), OWNER);
    tpm.auth('TPM_GetCapabilityOwner, wrong secret', commands.getCapabilityOwner(), SRK);
    tpm.do('TPM_GetCapabilityOwner, no session', commands.getCapabilityOwner());
    tpm.do('TakeOwnership is there', commands.getCapability(CAP.ORD, ORDINALS.TakeOwnership));
  }),
];
