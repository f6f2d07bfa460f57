/** DAA: a TPM joins an issuer's group and signs as a member, a few stages at a time. */
import { CAP, commands, RESOURCE, raw } from '../../src/guest/index.js';
import { concat } from '../../src/wire/codec.js';
import {
  type Dialogue,
  daaSign,
  type Input,
  Issuer,
  join,
  type Membership,
} from '../reference/daa.js';
import { type DaaName, daaCommand } from '../reference/daa-host.js';
import { type Family, Kept, type RandomGuest } from './guest.js';
import { HELD } from './held.js';
import { identity } from './identity.js';
import { endorsementKey } from './lives.js';

const { byte, rawCommand } = raw;
const LABEL = new Uint8Array(16).fill(0x44);
const NO_HANDLE = 0x1234;
/** More than a dialogue has. */
const STAGES_MAX = 40;
const issuer = new Issuer();

/** A dialogue that is under way: what is to be sent next, and in which session. */
interface Talk {
  readonly name: DaaName;
  readonly dialogue: Dialogue<Membership | undefined>;
  handle: number;
  next: Input;
}

const TALKS = new Kept<Talk>('until the power goes');
const MEMBERS = new Kept<Membership>('until the owner goes');
const CONTEXTS = new Kept<Uint8Array>('until the power goes');

function* signing(guest: RandomGuest, member: Membership): Dialogue<undefined> {
  const { handle, wrapped } = HELD.pick(guest) ?? {};
  const options = { checks: false, w: issuer.base(`w${guest.below(3)}`) };
  const key = guest.chance(2) && wrapped !== undefined;
  const message = key ? { handle: handle!, modulus: LABEL } : { digest: guest.bytes(20) };
  yield* daaSign(issuer, member, { ...options, message });
  return undefined;
}

/** A dialogue that is about to begin: a member signs, who is none joins. */
function newTalk(guest: RandomGuest): Talk | undefined {
  const member = guest.chance(4) ? undefined : MEMBERS.pick(guest);
  const dialogue = member === undefined ? joining(guest) : signing(guest, member);
  const first = dialogue?.next();
  if (dialogue === undefined || first === undefined || first.done === true) return undefined;
  const name = member === undefined ? 'DAA_Join' : 'DAA_Sign';
  return { name, dialogue, handle: 0, next: first.value };
}

function joining(guest: RandomGuest): Dialogue<Membership> | undefined {
  const ek = endorsementKey(guest);
  return ek && join(issuer, ek, { count: guest.below(3), checks: false });
}

/** The command that is due, or one that is none. */
function due(guest: RandomGuest, { name, handle, next }: Talk) {
  const flip = (data: Uint8Array): Uint8Array =>
    data.length === 0 ? byte(1) : data.with(guest.below(data.length), guest.below(256));
  if (!guest.wrongly(3)) return daaCommand(name, handle, next);
  const other = name === 'DAA_Join' ? 'DAA_Sign' : 'DAA_Join';
  return guest.pick([
    daaCommand(name, handle, { ...next, data0: flip(next.data0) }),
    daaCommand(name, handle, { ...next, data1: flip(next.data1) }),
    daaCommand(name, handle, { ...next, data0: next.data0.slice(1) }),
    daaCommand(name, handle, { ...next, data1: concat(next.data1, byte(0)) }),
    daaCommand(name, handle, { ...next, stage: next.stage + 1 }),
    daaCommand(name, handle, { ...next, stage: guest.below(30) }),
    daaCommand(name, NO_HANDLE, next),
    daaCommand(other, handle, next),
  ]);
}

/** Sends what is due. Tells whether the dialogue goes on; a refusal ends it. */
function say(guest: RandomGuest, talk: Talk): boolean {
  const output = guest.attempt(() => guest.run(due(guest, talk), [guest.owner]));
  if (output === undefined) return false;
  if (talk.next.stage === 0 && output.length === 4) {
    talk.handle = Buffer.from(output).readUInt32BE();
  }
  const step = talk.dialogue.next(output);
  if (step.done !== true) talk.next = step.value;
  else if (step.value !== undefined) MEMBERS.keep(guest, step.value);
  return step.done !== true;
}

/** Goes on with a dialogue, for a few stages or to its end. */
function goOn(guest: RandomGuest, one: Talk): void {
  const stages = guest.chance(3) ? 1 + guest.below(14) : STAGES_MAX;
  for (let said = 0; said < stages; said += 1) if (!say(guest, one)) return;
  TALKS.keep(guest, one, 2);
}

/** Begins a dialogue, or goes on with one; who became a member by it signs at once. */
function talk(guest: RandomGuest): void {
  const isFull = TALKS.of(guest).length > 1;
  const old = isFull || guest.chance(2) ? TALKS.pick(guest) : undefined;
  if (old !== undefined) TALKS.drop(guest, old);
  const one = old ?? newTalk(guest);
  if (one === undefined) return;
  goOn(guest, one);
  const next = one.name === 'DAA_Join' ? newTalk(guest) : undefined;
  if (next?.name === 'DAA_Sign') goOn(guest, next);
}

/** A session leaves, or one comes back. */
function travel(guest: RandomGuest): void {
  const context = CONTEXTS.pick(guest);
  if (context !== undefined && guest.chance(2)) {
    guest.run(rawCommand('LoadContext', 1, 0, byte(guest.below(2)), context));
    return;
  }
  const handle = TALKS.pick(guest)?.handle ?? NO_HANDLE;
  const saved = guest.run(rawCommand('SaveContext', 1, handle, RESOURCE.DAA, LABEL));
  CONTEXTS.keep(guest, saved, 3);
  if (guest.chance(2)) guest.run(rawCommand('LoadContext', 1, 0, byte(1), saved));
}

/** Reads which sessions there are, and ends those that are not in use any more. */
function tidyUp(guest: RandomGuest): void {
  const spoken = TALKS.of(guest).map(({ handle }) => handle);
  const told = Buffer.from(guest.run(commands.getCapability(CAP.HANDLE, RESOURCE.DAA)));
  for (let at = 2; at + 4 <= told.length; at += 4) {
    const handle = told.readUInt32BE(at);
    if (!spoken.includes(handle)) guest.run(commands.flushSpecific(handle, RESOURCE.DAA));
  }
}

// biome-ignore format: table
export const DAA: Family = [
  [12, talk],
  [2, travel],
  [3, tidyUp],
  [1, guest => void identity(guest)],
];
