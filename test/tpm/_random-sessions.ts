/**
 * Guests at random: an owned TPM, keys, sealed data, NV, counters, contexts, delegation, wrong
 * secrets, wrong sizes, power cuts. What each command asks for is drawn from a seed, so that a seed
 * is all that it takes to see it again.
 */

import {
  BINDING,
  FLAG,
  KEY,
  LEGACY,
  MIGRATION,
  SIGNING,
  SIGNING_DER,
  SIGNING_INFO,
  STORAGE,
} from '../../scripts/transcripts/keys-common.js';
import {
  authorisedBy,
  type Command,
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  key11,
  NV_PER,
  nvPublic,
  pubKey,
  RESOURCE,
  raw,
  type Session,
  STARTUP,
  Tpm12Client,
  TpmResponseError,
  TpmResponseFault,
} from '../../src/testing/guest/index.js';
import { concat, decode, encode } from '../../src/wire/codec.js';
import { random } from '../tis/_random.js';
import type { Mirror } from './_mirror.js';
import { ownerSecret } from './_states.js';

const { byte, counted, rawCommand, selection, word16 } = raw;
const SRK = new Uint8Array(20);
const WRONG = new Uint8Array(20).fill(0xee);
const DIGEST = new Uint8Array(20).fill(0x11);
const AUTH_FAILURES = [0x01, 0x1d];
/** Past five a lockout begins, and how long it runs the two tell by clocks of their own. */
const FAILURES_MAX = 3;
const INDEX = 0x1100;
const KEYS_MAX = 12;

const TEMPLATES = [SIGNING_DER, SIGNING, SIGNING_INFO, BINDING, LEGACY, STORAGE].flatMap(key => [
  key,
  { ...key, authDataUsage: 0 },
  { ...key, keyFlags: FLAG.MIGRATABLE },
]);

interface Held {
  readonly handle: number;
  readonly wrapped: Uint8Array;
}

export class RandomGuest {
  readonly #mirror: Mirror;
  readonly #below: (below: number) => number;
  readonly #client: Tpm12Client;
  readonly #wrapped: Uint8Array[] = [];
  readonly #sealed: Uint8Array[] = [];
  #keys: Held[] = [];
  #contexts: Uint8Array[] = [];
  #bends = false;
  /** Wrong secrets since the last start. */
  #failures = 0;

  constructor(mirror: Mirror, seed: number) {
    this.#mirror = mirror;
    this.#below = random(seed);
    const entropy = (length: number): Uint8Array =>
      Uint8Array.from({ length }, () => this.#below(256));
    this.#client = new Tpm12Client(request => this.#send(request), entropy);
    this.start();
  }

  start(): void {
    this.#try(client => client.run(commands.startup(STARTUP.CLEAR)));
  }

  /** One thing that a guest may do. Keys and sessions that it needs are opened on the way. */
  step(): void {
    this.#bends = this.#chance(8);
    const actions = ACTIONS[this.#below(ACTIONS.length)]!;
    this.#try(() => actions.call(this));
    this.#bends = false;
    if (this.#failures >= FAILURES_MAX || this.#chance(60)) this.powerCycle();
  }

  powerCycle(): void {
    const keeps = this.#failures < FAILURES_MAX && this.#chance(2);
    if (!keeps) {
      this.#failures = 0;
      this.#keys = [];
    }
    if (keeps) this.#try(client => client.run(commands.saveState()));
    this.#mirror.compareStates();
    this.#mirror.powerCut();
    this.#try(client => client.run(commands.startup(keeps ? STARTUP.STATE : STARTUP.CLEAR)));
  }

  #send(request: Uint8Array): Uint8Array {
    const bent = this.#bends && this.#chance(3) ? this.#bend(request) : request;
    const response = this.#mirror.transmit(bent);
    if (AUTH_FAILURES.includes(Buffer.from(response).readUInt32BE(6))) this.#failures += 1;
    return response;
  }

  /** The same request with a byte changed, or cut off, or one too many. The size is honest. */
  #bend(request: Uint8Array): Uint8Array {
    const cut = this.#chance(4) ? this.#below(8) : 0;
    const bent = concat(request.slice(0, Math.max(request.length - cut, 10)));
    if (bent.length > 10) bent[10 + this.#below(bent.length - 10)]! ^= 2 ** this.#below(8);
    const whole = this.#chance(6) ? concat(bent, byte(0)) : bent;
    new DataView(whole.buffer).setUint32(2, whole.length);
    return whole;
  }

  #try<T>(act: (client: Tpm12Client) => T): T | undefined {
    try {
      return act(this.#client);
    } catch (error) {
      if (error instanceof TpmResponseError || error instanceof TpmResponseFault) return undefined;
      throw error;
    }
  }

  #chance(of: number): boolean {
    return this.#below(of) === 0;
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list[this.#below(Math.max(list.length, 1))];
  }

  /** A secret, or now and then a wrong one. */
  #secret(right: Uint8Array): Uint8Array {
    return this.#chance(25) ? WRONG : right;
  }

  /** Runs a command under secrets, each in an OIAP session of its own unless it has one. */
  #run<T>(
    command: Command<T>,
    ...auths: readonly (readonly [Uint8Array, (Session | undefined)?])[]
  ): T {
    const given = auths.map(([secret, session]) => ({
      session: session ?? this.#client.openOiap(),
      secret: this.#secret(secret),
      nonceOdd: this.#client.nonce(),
      continueSession: this.#chance(6),
    }));
    return given.length === 0
      ? this.#client.run(command)
      : this.#client.exchange(authorisedBy(command, given)).value;
  }

  #osap(type: number, value: number, secret: Uint8Array): Session {
    const scheme = this.#chance(4) ? 0x0600 : 0;
    return this.#client.openOsap(type + scheme, value, this.#secret(secret));
  }

  /** A secret as it travels in a session. The guest's client knows XOR; otherwise it is anything. */
  #hidden(session: Session): Uint8Array {
    return encryptAuth(session, KEY);
  }

  #key(): number {
    const handles = this.#keys.map(({ handle }) => handle);
    return this.#chance(12)
      ? this.#pick([HANDLE.SRK, HANDLE.EK, 0x1234])!
      : (this.#pick(handles) ?? HANDLE.SRK);
  }

  #secretOf(handle: number): Uint8Array {
    return handle === HANDLE.SRK ? SRK : KEY;
  }

  makeKey(): void {
    const parent = this.#chance(3) ? this.#key() : HANDLE.SRK;
    const session = this.#client.openOsap(ENTITY.KEYHANDLE, parent, this.#secretOf(parent));
    const nonceOdd = this.#client.nonce();
    const migration = encryptAuth(session, MIGRATION, nonceOdd);
    const template = this.#pick(TEMPLATES)!;
    const command = raw.createWrapKey(parent, this.#hidden(session), migration, template);
    const auth = { session, secret: KEY, nonceOdd };
    this.#wrapped.push(this.#client.exchange(authorisedBy(command, [auth])).value);
  }

  loadKey(): void {
    const wrapped = this.#pick(this.#wrapped);
    if (wrapped === undefined || this.#keys.length >= KEYS_MAX) return;
    const parent = this.#chance(3) ? this.#key() : HANDLE.SRK;
    const command = this.#chance(4) ? raw.loadKey(parent, wrapped) : raw.loadKey2(parent, wrapped);
    const handle = this.#run(command, [this.#secretOf(parent)]);
    this.#keys.push({ handle, wrapped });
  }

  dropKey(): void {
    const handle = this.#key();
    const old = this.#chance(2);
    this.#run<unknown>(
      old ? rawCommand('EvictKey', 1, handle) : commands.flushSpecific(handle, RESOURCE.KEY),
    );
    this.#keys = this.#keys.filter(key => key.handle !== handle);
  }

  useKey(): void {
    const handle = this.#key();
    const data = new Uint8Array(this.#pick([20, 20, 0, 53, 64, 128])!).fill(this.#below(256));
    const asked = [
      rawCommand('Sign', 1, handle, counted(data)),
      rawCommand('Quote', 1, handle, DIGEST, selection(this.#below(24))),
      rawCommand('Quote2', 1, handle, DIGEST, selection(this.#below(24)), byte(this.#below(2))),
      rawCommand('GetPubKey', 1, handle),
      rawCommand('UnBind', 1, handle, counted(data)),
      rawCommand('GetAuditDigestSigned', 1, handle, byte(0), DIGEST),
    ];
    const command = this.#pick(asked)!;
    if (this.#chance(4)) this.#run(command);
    else if (this.#chance(3)) {
      this.#run(command, [KEY, this.#osap(ENTITY.KEYHANDLE, handle, this.#secretOf(handle))]);
    } else this.#run(command, [this.#secretOf(handle)]);
  }

  certify(): void {
    const [by, key] = [this.#key(), this.#key()];
    const command = this.#chance(2)
      ? rawCommand('CertifyKey', 2, by, key, DIGEST)
      : rawCommand('CertifyKey2', 2, key, by, new Uint8Array(20), DIGEST);
    const auths = [[this.#secretOf(by)], [this.#secretOf(key)]] as [Uint8Array][];
    this.#run(command, ...auths.slice(this.#below(3)));
  }

  seal(): void {
    const handle = this.#chance(2) ? HANDLE.SRK : this.#key();
    const session = this.#osap(ENTITY.KEYHANDLE, handle, this.#secretOf(handle));
    const data = new Uint8Array(1 + this.#below(100)).fill(this.#below(256));
    const pcrs = this.#chance(3) ? concat(selection(16), new Uint8Array(40)) : new Uint8Array();
    const name = this.#chance(3) ? 'Sealx' : 'Seal';
    const command = rawCommand(
      name,
      1,
      handle,
      this.#hidden(session),
      counted(pcrs),
      counted(data),
    );
    this.#sealed.push(this.#run(command, [KEY, session]));
  }

  unseal(): void {
    const blob = this.#pick(this.#sealed);
    if (blob === undefined) return;
    const handle = this.#chance(2) ? HANDLE.SRK : this.#key();
    const bound = this.#chance(2)
      ? this.#osap(ENTITY.KEYHANDLE, handle, this.#secretOf(handle))
      : undefined;
    this.#run(raw.unseal(handle, blob), [this.#secretOf(handle), bound], [KEY]);
  }

  measure(): void {
    const pcr = this.#below(24);
    const asked = [
      commands.extend(pcr, DIGEST),
      commands.pcrRead(pcr),
      rawCommand('PCR_Reset', 0, selection(pcr)),
      rawCommand('SHA1Start', 0),
      rawCommand('SHA1Update', 0, counted(new Uint8Array(64 * this.#below(3)))),
      rawCommand('SHA1Complete', 0, counted(new Uint8Array(this.#below(66)))),
      rawCommand('SHA1CompleteExtend', 0, pcr, counted(DIGEST)),
    ];
    for (let count = 0; count < 3; count += 1) {
      const command = this.#pick<Command<unknown>>(asked)!;
      this.#try(() => this.#run(command));
    }
  }

  ask(): void {
    // TPM_CAP_ORD is of what there is, and TPM_CAP_MFR tells of libtpms's process.
    const area = this.#pick([2, 3, 4, 5, 6, 7, 9, 0x0c, 0x0d, 0x11, 0x14, 0x15, 0x17, 0x18, 0x1a])!;
    const sub = this.#pick([0x101 + this.#below(0x24), this.#below(12), INDEX, this.#key()])!;
    this.#run(commands.getCapability(area, sub));
  }

  storeNv(): void {
    const index = INDEX + this.#below(3);
    const asked = [
      () =>
        this.#client.nvDefineSpace(
          nvPublic(
            index,
            this.#below(9),
            this.#pick([
              NV_PER.OWNERREAD | NV_PER.OWNERWRITE,
              NV_PER.AUTHREAD | NV_PER.OWNERWRITE,
            ])!,
          ),
          ownerSecret(),
          KEY,
        ),
      () =>
        this.#run(commands.nvWriteValue(index, this.#below(4), DIGEST.slice(0, this.#below(8))), [
          ownerSecret(),
        ]),
      () => this.#run(commands.nvReadValue(index, this.#below(4), this.#below(8)), [ownerSecret()]),
      () => this.#run(commands.nvReadValue(index, 0, 4, true), [KEY]),
    ];
    this.#pick<() => unknown>(asked)!();
  }

  count(): void {
    const id = this.#below(9);
    if (this.#chance(4)) {
      const session = this.#osap(ENTITY.OWNER, HANDLE.OWNER, ownerSecret());
      const label = Uint8Array.from({ length: 4 }, () => this.#below(256));
      this.#run(rawCommand('CreateCounter', 0, this.#hidden(session), label), [KEY, session]);
      return;
    }
    const [name, ...secrets] = this.#pick([
      ['IncrementCounter', KEY],
      ['ReadCounter'],
      ['ReleaseCounter', KEY],
      ['ReleaseCounterOwner', ownerSecret()],
    ] as const)!;
    this.#run(rawCommand(name, 0, id), ...secrets.map(secret => [secret] as [Uint8Array]));
  }

  leave(): void {
    if (this.#chance(2)) {
      const blob = this.#pick(this.#contexts);
      if (blob !== undefined) this.#run(rawCommand('LoadContext', 1, this.#key(), byte(0), blob));
      return;
    }
    const session = this.#chance(2) ? this.#client.openOiap().handle : undefined;
    const handle = session ?? this.#key();
    const type = session === undefined ? RESOURCE.KEY : RESOURCE.AUTH;
    this.#contexts.push(this.#run(rawCommand('SaveContext', 1, handle, type, DIGEST.slice(0, 16))));
  }

  own(): void {
    const flag = this.#pick([0x04, 0x11, 0x14])!;
    const held = this.#pick(this.#keys);
    const asked = [
      rawCommand(
        'SetCapability',
        0,
        1,
        counted(Uint8Array.of(0, 0, 0, flag)),
        counted(byte(this.#below(2))),
      ),
      rawCommand(
        'SetOrdinalAuditStatus',
        0,
        this.#pick([0x14, 0x16, 0x17, 0x3c, 0xdd, 0x85])!,
        byte(this.#below(2)),
      ),
      rawCommand('DirWriteAuth', 0, this.#below(2), DIGEST),
      rawCommand('OwnerReadPubek', 0),
      rawCommand('ResetLockValue', 0),
      rawCommand('CMK_SetRestrictions', 0, this.#below(32) * 2 ** 27),
      rawCommand('CMK_ApproveMA', 0, DIGEST),
      commands.ownerReadInternalPub(this.#pick([HANDLE.EK, HANDLE.SRK, 1])!),
      commands.getCapabilityOwner(),
      ...(held === undefined ? [] : [this.#control(held)]),
    ];
    this.#run(this.#pick<Command<unknown>>(asked)!, [ownerSecret()]);
  }

  #control({ handle, wrapped }: Held): Command<unknown> {
    const { algorithmParms, modulus } = decode(key11, wrapped);
    const pub = encode(pubKey, { algorithmParms, modulus });
    return rawCommand('KeyControlOwner', 1, handle, pub, 1, byte(this.#below(2)));
  }

  delegate(): void {
    const family = this.#below(4);
    const data = this.#chance(6) ? word16(1) : byte(this.#below(2));
    const manage = rawCommand('Delegate_Manage', 0, family, 1 + this.#below(5), counted(data));
    this.#run(manage, [ownerSecret()]);
    this.#run(rawCommand('Delegate_ReadTable', 0));
  }

  look(): void {
    const asked = [
      rawCommand('DirRead', 0, 0),
      rawCommand('GetAuditDigest', 0, this.#below(64)),
      rawCommand('Reset', 0),
      commands.getTestResult(),
      commands.selfTestFull(),
      commands.getRandom(this.#below(40)),
      rawCommand('StirRandom', 0, counted(DIGEST)),
    ];
    this.#run(this.#pick<Command<unknown>>(asked)!);
  }
}

const guest = RandomGuest.prototype;
/** What a guest does, the more often the more often it stands here. */
const ACTIONS: readonly ((this: RandomGuest) => void)[] = [
  guest.makeKey,
  guest.loadKey,
  guest.loadKey,
  guest.loadKey,
  guest.useKey,
  guest.useKey,
  guest.useKey,
  guest.certify,
  guest.certify,
  guest.dropKey,
  guest.seal,
  guest.unseal,
  guest.measure,
  guest.ask,
  guest.storeNv,
  guest.count,
  guest.leave,
  guest.leave,
  guest.own,
  guest.delegate,
  guest.look,
];
