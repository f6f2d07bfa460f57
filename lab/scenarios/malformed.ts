/**
 * Requests that are no commands, or not the command that they claim to be: short, long, of a wrong
 * tag, of an ordinal that there is not, of a size that is not theirs.
 * @module
 */
import {
  authorised,
  type Command,
  commands,
  ENTITY,
  frame,
  HANDLE,
  NV_PER,
  nvPublic,
  ORDINALS,
  TAG,
} from '../../src/guest/index.js';
import { AREA, OWNER, type Recorder, scenario } from '../recorder/recorder.js';
import { DIGEST, restart, start, UNKNOWN_ORDINAL } from './common.js';

const blob = new Uint8Array(256).fill(0x66);
const N = new Uint8Array(20).fill(0x77);
const pub = nvPublic(0x1100, 4, NV_PER.OWNERWRITE);

/** One well-formed request of every ordinal. */
const EVERY: readonly Command<unknown>[] = [
  commands.saveState(),
  commands.selfTestFull(),
  commands.continueSelfTest(),
  commands.getTestResult(),
  commands.forceClear(),
  commands.ownerClear(),
  commands.physicalEnable(),
  commands.physicalDisable(),
  commands.physicalSetDeactivated(false),
  commands.physicalPresence(0x0010),
  commands.takeOwnership(blob, blob),
  commands.getCapability(5, 0x101),
  commands.getCapabilityOwner(),
  commands.getRandom(8),
  commands.createEndorsementKeyPair(N),
  commands.readPubek(N),
  commands.ownerReadInternalPub(HANDLE.EK),
  commands.extend(5, DIGEST),
  commands.pcrRead(0),
  commands.oiap(),
  commands.osap(ENTITY.OWNER, HANDLE.OWNER, N),
  commands.terminateHandle(0x1234),
  commands.flushSpecific(0x1234, 2),
  commands.nvDefineSpace(pub, AREA),
  commands.nvWriteValue(0x1100, 0, N),
  commands.nvReadValue(0x1100, 0, 4),
  commands.nvWriteValue(0x1100, 0, N, true),
  commands.nvReadValue(0x1100, 0, 4, true),
  commands.startup(1),
];

const NAMES = new Map(Object.entries(ORDINALS).map(([name, ordinal]) => [ordinal as number, name]));
const nameOf = (command: Command<unknown>): string => NAMES.get(command.ordinal) ?? '';

/** Every request with no parameters, with too few of them, and with too many. */
function sizes(tpm: Recorder, tag: number, what: string): void {
  for (const command of EVERY) {
    const { ordinal, params } = command;
    const name = `${what} ${nameOf(command)}`;
    if (params.length > 0) {
      tpm.raw(`${name} without parameters`, frame(tag, ordinal, new Uint8Array()));
      tpm.raw(`${name} one byte short`, frame(tag, ordinal, params.slice(0, -1)));
      tpm.raw(`${name} cut in half`, frame(tag, ordinal, params.slice(0, params.length >> 1)));
    }
    tpm.raw(`${name} one byte long`, frame(tag, ordinal, Uint8Array.of(...params, 0)));
    const zeros = new Uint8Array(45);
    tpm.raw(`${name} 45 zero bytes long`, frame(tag, ordinal, Uint8Array.of(...params, ...zeros)));
  }
}

const READ = commands.pcrRead(0);
/** A command over whose 14 bytes stands another size. */
const lie = (size: number): Uint8Array => {
  const request = frame(TAG.RQU_COMMAND, READ.ordinal, READ.params);
  new DataView(request.buffer).setUint32(2, size);
  return request;
};

/** Every tag, size and ordinal that is wrong in its own way. */
function headers(tpm: Recorder, when: string): void {
  for (const tag of [0, 0xc0, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0x8001, 0x8002, 0xffff, 0xc100]) {
    const name = `${when}: tag 0x${tag.toString(16)}`;
    tpm.raw(name, frame(tag, READ.ordinal, READ.params));
  }
  const probe = Uint8Array.of(0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 0, 1);
  tpm.raw(`${when}: the TPM 2.0 probe of Linux`, frame(0x8001, 0x17a, probe));
  for (const size of [0, 9, 10, 13, 15, 0xff, 0x1000, 0xffff_ffff]) {
    tpm.raw(`${when}: a size field of ${size} over 14 bytes`, lie(size));
  }
  for (const ordinal of [
    0, 1, 9, 0x16_0000, 0x4000_0000, 0x4000_000c, 0x2000_0000, 0x8000_0015, 0xc000_0001,
    0xffff_ffff,
  ]) {
    const name = `${when}: ordinal 0x${ordinal.toString(16)}`;
    tpm.raw(name, frame(TAG.RQU_COMMAND, ordinal, new Uint8Array()));
  }
  tpm.raw(
    `${when}: an unknown ordinal, with parameters`,
    frame(TAG.RQU_COMMAND, UNKNOWN_ORDINAL, N),
  );
  tpm.raw(`${when}: an unknown ordinal, wrong tag`, frame(0x00d1, UNKNOWN_ORDINAL, N));
  tpm.raw(
    `${when}: a header and nothing else`,
    frame(TAG.RQU_COMMAND, READ.ordinal, new Uint8Array()),
  );
}

function frames(tpm: Recorder): void {
  headers(tpm, 'before TPM_Startup');
  start(tpm);
  headers(tpm, 'started');
  tpm.raw('4096 bytes', frame(TAG.RQU_COMMAND, READ.ordinal, new Uint8Array(4086)));
  tpm.raw(
    '4096 bytes for TPM_Extend',
    frame(TAG.RQU_COMMAND, ORDINALS.Extend, new Uint8Array(4086)),
  );
  tpm.do('and it works on', commands.pcrRead(0));
}

export const MALFORMED = [
  scenario('malformed-sizes', 'owned', 'Parameters that are too few or too many.', tpm => {
    start(tpm);
    sizes(tpm, TAG.RQU_COMMAND, 'plain');
  }),

  scenario(
    'malformed-auth1',
    'owned',
    'One session where none is due, and sessions cut short.',
    tpm => {
      start(tpm);
      sizes(tpm, TAG.RQU_AUTH1_COMMAND, 'auth1');
    },
  ),

  scenario('malformed-auth2', 'owned', 'Two sessions where one or none is due.', tpm => {
    start(tpm);
    for (const command of EVERY) {
      const trailer = new Uint8Array(90);
      const body = Uint8Array.of(...command.params, ...trailer);
      const name = `auth2 ${nameOf(command)}`;
      tpm.raw(name, frame(TAG.RQU_AUTH2_COMMAND, command.ordinal, body));
    }
  }),

  scenario('malformed-auth-used', 'owned', 'A sound session with commands that take none.', tpm => {
    start(tpm);
    for (const command of EVERY) {
      const name = nameOf(command);
      if (name === 'OwnerClear' || name === 'TakeOwnership') continue;
      const session = tpm.oiap(`a session for ${name}`);
      if (session === undefined) continue;
      const { request } = authorised(command, { session, secret: OWNER, nonceOdd: tpm.nonce() });
      tpm.raw(`${name} with a session`, request);
      tpm.do('and its end', commands.flushSpecific(session.handle, 2));
    }
  }),

  scenario('malformed-frames', 'nothing', 'Headers: tags, ordinals, sizes that lie.', frames),

  scenario('malformed-startup', 'nothing', 'TPM_Startup of wrong sizes and tags.', tpm => {
    const one = (what: string, request: Uint8Array): void => {
      tpm.raw(what, request);
      tpm.do(`TPM_PcrRead after: ${what}`, commands.pcrRead(0));
      tpm.do(`TPM_Startup after: ${what}`, commands.startup(1));
      tpm.powerCut();
    };
    one('no type', frame(TAG.RQU_COMMAND, ORDINALS.Startup, new Uint8Array()));
    one('one byte of type', frame(TAG.RQU_COMMAND, ORDINALS.Startup, Uint8Array.of(0)));
    one('three bytes of type', frame(TAG.RQU_COMMAND, ORDINALS.Startup, Uint8Array.of(0, 1, 0)));
    one('auth1', frame(TAG.RQU_AUTH1_COMMAND, ORDINALS.Startup, Uint8Array.of(0, 1)));
    one(
      'auth1 with a session',
      frame(TAG.RQU_AUTH1_COMMAND, ORDINALS.Startup, Uint8Array.of(0, 1, ...new Uint8Array(45))),
    );
    restart(tpm);
  }),
];
