/**
 * The TPM 1.2 engine: a TPM (TPM Main, revision 116) as libtpms builds one, behind the interface
 * that all engines have. Time, randomness and keys come in as arguments.
 *
 * Where the specification leaves a choice it does what libtpms 0.9.2 does. The departures are in
 * docs/tpm12.md, generated from lab/reference/departures.ts.
 * @module
 */
import assert from 'node:assert/strict';
import { safeTrace, type Trace } from '../../trace.js';
import { sha1 } from '../crypto/hash.js';
import { type GenerateKey, generateRsaKey } from '../crypto/rsa-keys.js';
import { Sha1Stream } from '../crypto/sha1-stream.js';
import {
  type Clock,
  type Engine,
  type Entropy,
  type NvramPort,
  StateError,
  StoreFailure,
  type Tpm12Info,
} from '../engine.js';
import { endExclusive } from './auth/transport-session.js';
import type { CommandTable } from './command-table.js';
import { COMMANDS } from './commands/index.js';
import { execute } from './dispatch.js';
import type { Environment } from './environment.js';
import { LIMITS } from './limits.js';
import { store } from './permanent-store.js';
import { TpmResult, type TpmResultName } from './results.js';
import { passes } from './self-test.js';
import { freshPermanent } from './state/defaults.js';
import { DRTM_PCR, enterDynamicMode } from './state/pcr.js';
import { decodePermall } from './state/permall.js';
import type { Permanent } from './state/permanent.js';
import { wipePermanent } from './state/permanent.js';
import { endAllSessions, poweredOn, TestState } from './state/state.js';
import { encodeVolatile, restoreVolatile, VOLATILE_REVISION } from './state/volatile.js';
import { noBytes20 } from './structures/basic.js';
import { KeyUsage } from './structures/key.js';

/** The surroundings of a TPM 1.2. */
export interface Tpm12Options {
  readonly entropy: Entropy;
  readonly clock: Clock;
  readonly trace?: Trace;
  /** @internal Its commands; a table with more of them makes a TPM with those of a vendor. */
  readonly commands?: CommandTable;
  /** How RSA keys are made; OpenSSL makes them where this is not given. */
  readonly generateKey?: GenerateKey;
  /** The platform's pin for physical presence; without one it is never asserted. */
  readonly physicalPresence?: () => boolean;
}

const LOCALITY_MAX = 4;
const NO_SEQUENCE = 'no hash sequence is under way';

/** A TPM 1.2 that answers as libtpms does, with libtpms's state format. */
export class Tpm12 implements Engine {
  readonly kind = { name: 'nvtpm', version: '1.2' } as const;
  readonly commandBytes = LIMITS.bufferBytes;
  readonly volatileVersion = VOLATILE_REVISION;
  readonly #options: Tpm12Options;
  readonly #trace: Trace;
  readonly #commands: CommandTable;
  #tpm: Environment | undefined;

  constructor(options: Tpm12Options) {
    this.#options = options;
    this.#trace = safeTrace(options.trace);
    this.#commands = options.commands ?? COMMANDS;
  }

  init(nvram: NvramPort): void {
    this.#wipe();
    const stored = nvram.load('permall');
    const permanent =
      stored === undefined
        ? freshPermanent(this.#commands.auditedFromStart())
        : decodePermall(stored);
    const tpm = this.#powerOn(nvram, permanent);
    if (stored === undefined) store(tpm);
    if (!passes(tpm.state)) {
      tpm.state.testState = TestState.FAILURE;
      this.#trace({
        event: 'failure',
        where: 'self-test',
        why: 'the Endorsement Key is not sound',
      });
    }
    this.#tpm = tpm;
  }

  #powerOn(nvram: NvramPort, permanent: Permanent): Environment {
    const { entropy, clock, generateKey = generateRsaKey } = this.#options;
    const presencePin = this.#options.physicalPresence ?? (() => false);
    const state = poweredOn(permanent, { startedAt: clock(), nonce: entropy(20) });
    const commands = this.#commands;
    const tpm: Environment = {
      ...{ state, nvram, entropy, clock, generateKey, presencePin, commands },
      runWrapped: (request, locality, through) =>
        execute(commands, tpm, request, locality, through).response,
    };
    return tpm;
  }

  process(command: Uint8Array, locality: number): Uint8Array {
    assert(Number.isInteger(locality) && locality >= 0 && locality <= LOCALITY_MAX);
    const done = execute(this.#commands, this.#running, command, locality);
    const { ordinal, result, failure } = done;
    const name = this.#commands.get(ordinal)?.name ?? 'unknown';
    if (failure !== undefined) {
      this.#trace({ event: 'failure', where: name, why: failure.message });
    }
    this.#trace({ event: 'command', ordinal, name, locality, result });
    return done.response;
  }

  /** @throws StoreFailure where the port cannot load */
  volatileState(): Uint8Array {
    const { state, nvram, clock } = this.#running;
    const permall = nvram.load('permall');
    if (permall === undefined) throw new StateError('MALFORMED', 'permall', 'it is gone');
    return encodeVolatile(state, permall, clock());
  }

  /** @throws StoreFailure, StateError */
  restore(nvram: NvramPort, volatileState: Uint8Array): void {
    this.#wipe();
    const permall = nvram.load('permall');
    if (permall === undefined) {
      throw new StateError(
        'MALFORMED',
        'permall',
        'it is absent, so there is nothing to resume from',
      );
    }
    const tpm = this.#powerOn(nvram, decodePermall(permall));
    restoreVolatile(tpm.state, permall, volatileState, tpm.clock());
    this.#tpm = tpm;
  }

  /** No command of a TPM 1.2 can be stopped half-way, here as in libtpms. */
  cancel(): boolean {
    return false;
  }

  established(): boolean {
    return this.#running.state.permanent.flags.tpmEstablished;
  }

  /** Starts the hash sequence of a dynamic launch (locality 4). */
  hashStart(): number {
    const tpm = this.#running;
    const { state } = tpm;
    if (state.stany.postInitialise) {
      return this.#fail('HASH_START', 'INVALID_POSTINIT', 'it came before TPM_Startup');
    }
    endExclusive(state);
    state.stany.tosPresent = true;
    enterDynamicMode(state.stclear.pcrs);
    state.hash = new Sha1Stream();
    if (state.permanent.flags.tpmEstablished) return TpmResult.SUCCESS;
    state.permanent.flags.tpmEstablished = true;
    try {
      store(tpm);
      return TpmResult.SUCCESS;
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error;
      return this.#fail('HASH_START', 'FAIL', error.message);
    }
  }

  hashData(data: Uint8Array): number {
    const { hash } = this.#running.state;
    if (hash === undefined) return this.#fail('HASH_DATA', 'SHA_THREAD', NO_SEQUENCE);
    hash.update(data);
    return TpmResult.SUCCESS;
  }

  hashEnd(): number {
    const { state } = this.#running;
    if (state.hash === undefined) return this.#fail('HASH_END', 'SHA_THREAD', NO_SEQUENCE);
    state.stclear.pcrs[DRTM_PCR] = sha1(noBytes20(), state.hash.finish());
    state.hash = undefined;
    return TpmResult.SUCCESS;
  }

  #fail(where: string, result: TpmResultName, why: string): number {
    this.#running.state.testState = TestState.FAILURE;
    this.#trace({ event: 'failure', where, why });
    return TpmResult[result];
  }

  info(): Tpm12Info {
    const { permanent, stclearFlags } = this.#running.state;
    const { data, flags, nv } = permanent;
    const ek = data.endorsementKey;
    return {
      version: '1.2',
      owned: data.ownerInstalled,
      enabled: !flags.disable,
      activated: !flags.deactivated && !stclearFlags.deactivated,
      ek: ek.keyUsage === KeyUsage.NONE ? undefined : ek.pubKey.slice(),
      nvIndices: nv.flatMap(entry => entry?.publicInfo.nvIndex ?? []),
    };
  }

  close(): void {
    this.#wipe();
  }

  #wipe(): void {
    if (this.#tpm === undefined) return;
    const { permanent, stclear, keys } = this.#tpm.state;
    endAllSessions(stclear);
    keys.clear();
    wipePermanent(permanent);
    this.#tpm = undefined;
  }

  get #running(): Environment {
    assert(this.#tpm !== undefined, 'the TPM is not powered on');
    return this.#tpm;
  }
}
