/** DAA: a TPM joins an issuer's group and signs as a member, a few stages at a time. */
import { CAP, commands, RESOURCE, raw } from '../../../src/testing/guest/index.js';
import { concat } from '../../../src/wire/codec.js';
import { type Dialogue, daaSign, type Input, Issuer, join, type Membership } from '../_daa.js';
import { type DaaName, daaCommand } from '../_daa-host.js';
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

/** A dialogue that is about to begin. */
function newTalk(guest: RandomGuest): Talk | undefined {
  const ek = endorsementKey(guest);
  const member = MEMBERS.pick(guest);
  if (ek === undefined) return undefined;
  const signs = member !== undefined && !guest.chance(3);
  const name = signs ? 'DAA_Sign' : 'DAA_Join';
  const count = guest.below(3);
  const dialogue = signs ? signing(guest, member) : join(issuer, ek, { count, checks: false });
  const first = dialogue.next();
  return first.done === true ? undefined : { name, dialogue, handle: 0, next: first.value };
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

/** Begins a dialogue, or goes on with one, for a few stages, or to its end. */
function talk(guest: RandomGuest): void {
  const known = TALKS.of(guest);
  const one = known.length > 1 || guest.chance(2) ? TALKS.pick(guest) : newTalk(guest);
  if (one === undefined) return;
  TALKS.drop(guest, one);
  const toTheEnd = MEMBERS.pick(guest) === undefined || guest.chance(2);
  const stages = toTheEnd ? STAGES_MAX : 1 + guest.below(14);
  for (let said = 0; said < stages; said += 1) if (!say(guest, one)) return;
  TALKS.keep(guest, one, 2);
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

/** Looks which sessions there are, and ends what nobody speaks of any more. */
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
