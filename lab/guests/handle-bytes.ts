/**
 * Where the parameters of a command begin that its HMAC covers: behind the handles, by the tables
 * of "Incoming Operands" and "Outgoing Operands" of TPM Main Part 3. It is written down here a
 * second time on purpose: a guest that read the engine's own records could not find an error in
 * them.
 */
import { ORDINALS } from '../../src/guest/index.js';
import type { Handles } from '../reference/tunnel.js';

const NONE: Handles = { input: 0, output: 0 };
const ONE: Handles = { input: 4, output: 0 };
const TWO: Handles = { input: 8, output: 0 };

// biome-ignore format: table
const HANDLES: Readonly<Partial<Record<keyof typeof ORDINALS, Handles>>> = {
  /* §10 storage */        Seal: ONE, Unseal: ONE, UnBind: ONE, CreateWrapKey: ONE, LoadKey: ONE,
                           LoadKey2: { input: 4, output: 4 }, GetPubKey: ONE, Sealx: ONE,
  /* §11 migration */      CreateMigrationBlob: ONE, ConvertMigrationBlob: ONE, MigrateKey: ONE,
                           CMK_CreateKey: ONE, CMK_CreateBlob: ONE, CMK_ConvertMigration: ONE,
  /* §13 cryptography */   Sign: ONE, CertifyKey: TWO, CertifyKey2: TWO,
  /* §8 auditing */        GetAuditDigestSigned: ONE,
  /* §15 identity */       ActivateIdentity: ONE,
  /* §16 integrity */      Quote: ONE, Quote2: ONE,
  /* §17 secrets */        ChangeAuth: ONE,
  // libtpms covers nothing of the sessions that it opens, and of DSAP only what is in the blob.
  /* §18 sessions */       OIAP: { input: 0, output: 24 }, OSAP: { input: 26, output: 44 },
                           DSAP: { input: 30, output: 44 },
  /* §19 delegation */     Delegate_CreateKeyDelegation: ONE,
  /* §21 sessions */       KeyControlOwner: ONE, SaveContext: ONE, LoadContext: { input: 4, output: 4 },
  /* §22 eviction */       FlushSpecific: ONE,
  /* §23 ticks */          TickStampBlob: ONE,
  /* §24 transport */      EstablishTransport: { input: 4, output: 4 }, ReleaseTransportSigned: ONE,
  /* §26 DAA */            DAA_Join: ONE, DAA_Sign: ONE,
  /* §27 deprecated */     EvictKey: ONE, Terminate_Handle: ONE, SaveKeyContext: ONE, SaveAuthContext: ONE,
                           LoadKeyContext: { input: 0, output: 4 }, LoadAuthContext: { input: 0, output: 4 },
                           ChangeAuthAsymStart: ONE, ChangeAuthAsymFinish: TWO,
};

const BY_ORDINAL: ReadonlyMap<number, Handles> = new Map(
  Object.entries(HANDLES).map(([name, handles]) => [
    ORDINALS[name as keyof typeof ORDINALS],
    handles,
  ]),
);

/** The handles of a command that is sent on its own. */
export const handlesOf = (ordinal: number): Handles => BY_ORDINAL.get(ordinal) ?? NONE;

/**
 * The same where it goes through a transport session: libtpms counts one handle of
 * TPM_ChangeAuthAsymFinish there, and none of TPM_ReleaseTransportSigned.
 */
export const wrappedHandlesOf = (ordinal: number): Handles =>
  WRAPPED.get(ordinal) ?? handlesOf(ordinal);

/** Ordinals without a command that begin with a key handle, as libtpms knows them. */
const [CERTIFY_SELF_TEST, SET_REDIRECTION] = [0x52, 0x9a];
const WRAPPED: ReadonlyMap<number, Handles> = new Map([
  [ORDINALS.ChangeAuthAsymFinish, ONE],
  [ORDINALS.ReleaseTransportSigned, NONE],
  [CERTIFY_SELF_TEST, ONE],
  [SET_REDIRECTION, ONE],
]);
