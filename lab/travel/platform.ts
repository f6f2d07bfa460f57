/** What the platform and the owner do in a life: flags, PCRs, audit, ownership, counters. */
import { commands, ENTITY, encryptTo, HANDLE, raw, SRK_TEMPLATE } from '../../src/guest/index.js';
import { concat, encode, u32 } from '../../src/wire/codec.js';
import { type Life, SECRET } from './life.js';
import { OWNERS } from './nv.js';

const { byte, counted, rawCommand, selection, word16 } = raw;
const OWNER = [ENTITY.OWNER, HANDLE.OWNER] as const;
const n4 = (value: number): Uint8Array => encode(u32, value);

const setCapability = (area: number, sub: number, value: Uint8Array) =>
  rawCommand('SetCapability', 0, area, counted(n4(sub)), counted(value));

export function measure(life: Life): void {
  for (let count = life.below(6); count > 0; count -= 1) {
    const pcr = life.below(24);
    life.subject.setLocality(pcr < 16 ? 0 : 2);
    life.try(() => life.run(commands.extend(pcr, life.bytes(20))));
  }
  if (life.chance(4)) life.try(() => life.run(rawCommand('PCR_Reset', 0, selection(16, 23))));
  if (life.chance(6)) life.subject.hash(life.bytes(life.below(100)));
  life.subject.setLocality(3);
  if (life.chance(12)) life.try(() => life.run(rawCommand('TSC_ResetEstablishmentBit', 0)));
  life.subject.setLocality(0);
}

/** Physical presence, and what it allows. */
export function standBefore(life: Life): void {
  life.bePresent();
  const asked = [
    commands.physicalPresence(life.pick([0x04, 0x10, 0x14, 0x40, 0x200, 0x60])!),
    rawCommand('SetOwnerInstall', 0, byte(life.below(2))),
    commands.physicalSetDeactivated(life.chance(8)),
    setCapability(4, 6, n4(life.below(2 ** 8))),
    setCapability(1, 2, byte(life.below(2))),
    rawCommand('DisableForceClear', 0),
    setCapability(3, 2, byte(1)),
  ];
  life.try(() => life.run<unknown>(life.pick<(typeof asked)[number]>(asked)!));
  if (life.chance(40)) life.try(() => life.run(commands.physicalPresence(0x80)));
}

export function nameOperator(life: Life): void {
  life.bePresent();
  const operator = life.bytes(20);
  life.try(() => {
    life.run(rawCommand('SetOperatorAuth', 0, operator));
    life.operator = operator;
  });
}

export function setFlags(life: Life): void {
  const asked = [
    setCapability(1, life.pick([4, 5, 6, 17, 20])!, byte(life.below(2))),
    setCapability(2, 23, n4(life.below(32) * 2 ** 27)),
    setCapability(2, 25, new Uint8Array()),
    rawCommand('CMK_SetRestrictions', 0, life.below(32) * 2 ** 27),
    rawCommand('DirWriteAuth', 0, 0, life.bytes(20)),
    rawCommand('DisablePubekRead', 0),
    rawCommand('DisableOwnerClear', 0),
  ];
  life.asOwner(life.pick(asked)!);
}

/** Ordinals to audit: what this life does often, and two that only the connection has. */
const AUDITED = [0x0a, 0x0b, 0x14, 0x15, 0x1f, 0x41, 0x98, 0xcd, 0xdd, 0x4000_000a, 0x4000_000b];

export function auditMore(life: Life): void {
  const ordinal = life.pick(AUDITED)!;
  life.asOwner(rawCommand('SetOrdinalAuditStatus', 0, ordinal, byte(Number(!life.chance(4)))));
}

export function changeSecrets(life: Life): void {
  const { owner } = life;
  if (owner === undefined || !life.chance(3)) return;
  const type = life.pick([ENTITY.OWNER, ENTITY.SRK])!;
  life.try(() => {
    life.runWith(OWNER, owner, hidden =>
      rawCommand('ChangeAuthOwner', 0, word16(4), hidden, word16(type)),
    );
    if (type === ENTITY.OWNER) life.owner = SECRET;
    else life.srk = SECRET;
    life.sessions = life.sessions.filter(({ to }) => to === 'anything');
  });
}

/** An Endorsement Key, which may be made to go again, and an owner. */
export function settle(life: Life): void {
  if (life.owner !== undefined) return;
  life.try(() => {
    if (life.chance(2)) life.client.createEndorsementKeyPair();
    else {
      const parms = concat(n4(1), word16(3), word16(1), counted(concat(n4(2048), n4(2), n4(0))));
      const given = life.bytes(20);
      const command = rawCommand('CreateRevocableEK', 0, life.bytes(20), parms, byte(1), given);
      life.ekReset = life.run(command).slice(-20);
    }
  });
  if (life.chance(2)) takeOwnership(life);
}

export function takeOwnership(life: Life): void {
  if (life.owner !== undefined) return;
  life.try(() => {
    const [owner, srk] = [life.bytes(20), life.chance(2) ? life.bytes(20) : life.srk];
    const ek = life.client.readPubek();
    const template = { ...SRK_TEMPLATE, authDataUsage: life.pick([0, 1, 3])! };
    const sent = [encryptTo(ek, owner), encryptTo(ek, srk)] as const;
    life.run(commands.takeOwnership(...sent, template), [owner]);
    life.owner = owner;
    life.srk = srk;
  });
}

/** The owner goes; the TPM is put to work again, now and then. */
export function clear(life: Life): void {
  const { owner, ekReset } = life;
  if (!life.chance(5)) return;
  life.bePresent();
  life.try(() => {
    if (owner !== undefined && life.chance(2)) life.run(commands.ownerClear(), [owner]);
    else if (ekReset === undefined) life.run(commands.forceClear());
    else life.run(rawCommand('RevokeTrust', 0, ekReset));
    life.forgetOwner();
    life.indices = life.indices.filter(({ attributes }) => (attributes & OWNERS) === 0);
  });
  if (life.chance(4)) return;
  life.try(() => life.run(commands.physicalEnable()));
  life.try(() => life.run(commands.physicalSetDeactivated(false)));
  life.powerCycle(false);
  takeOwnership(life);
}

export function count(life: Life): void {
  const { owner } = life;
  if (owner === undefined) return;
  if (life.chance(3)) {
    const label = life.bytes(4);
    life.try(() => {
      const made = life.runWith(OWNER, owner, hidden =>
        rawCommand('CreateCounter', 0, hidden, label),
      );
      life.counters.push(Buffer.from(made).readUInt32BE());
    });
    return;
  }
  const id = life.pick(life.counters);
  if (id === undefined) return;
  if (!life.chance(8)) life.try(() => life.run(rawCommand('IncrementCounter', 0, id), [SECRET]));
  else {
    life.try(() => life.run(rawCommand('ReleaseCounter', 0, id), [SECRET]));
    life.counters = life.counters.filter(one => one !== id);
  }
}
