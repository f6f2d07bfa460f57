/**
 * Result codes (TPM Main Part 2, §16), and the fault that carries one. A fault is how the engine
 * refuses a guest; the dispatcher is the one place that turns it into a response.
 * @module
 */

import { Fault, refusedWith } from '../kernel/fault.js';

// biome-ignore format: table
export const TpmResult = {
  SUCCESS:                  0,
  AUTHFAIL:                 1,
  BADINDEX:                 2,
  BAD_PARAMETER:            3,
  CLEAR_DISABLED:           5,
  DEACTIVATED:              6,
  DISABLED:                 7,
  DISABLED_CMD:             8,
  FAIL:                     9,
  BAD_ORDINAL:             10,
  INSTALL_DISABLED:        11,
  INVALID_KEYHANDLE:       12,
  KEYNOTFOUND:             13,
  INAPPROPRIATE_ENC:       14,
  MIGRATEFAIL:             15,
  INVALID_PCR_INFO:        16,
  NOSPACE:                 17,
  NOSRK:                   18,
  NOTSEALED_BLOB:          19,
  OWNER_SET:               20,
  RESOURCES:               21,
  SIZE:                    23,
  WRONGPCRVAL:             24,
  BAD_PARAM_SIZE:          25,
  SHA_THREAD:              26,
  SHA_ERROR:               27,
  FAILEDSELFTEST:          28,
  AUTH2FAIL:               29,
  BADTAG:                  30,
  ENCRYPT_ERROR:           32,
  DECRYPT_ERROR:           33,
  INVALID_AUTHHANDLE:      34,
  NO_ENDORSEMENT:          35,
  INVALID_KEYUSAGE:        36,
  WRONG_ENTITYTYPE:        37,
  INVALID_POSTINIT:        38,
  INAPPROPRIATE_SIG:       39,
  BAD_KEY_PROPERTY:        40,
  BAD_MIGRATION:           41,
  BAD_SCHEME:              42,
  BAD_DATASIZE:            43,
  BAD_MODE:                44,
  BAD_PRESENCE:            45,
  BAD_VERSION:             46,
  NO_WRAP_TRANSPORT:       47,
  AUDITFAIL_SUCCESSFUL:    49,
  NOTRESETABLE:            50,
  NOTLOCAL:                51,
  BAD_TYPE:                52,
  INVALID_RESOURCE:        53,
  NOTFIPS:                 54,
  AUTH_CONFLICT:           59,
  AREA_LOCKED:             60,
  BAD_LOCALITY:            61,
  PER_NOWRITE:             63,
  FAMILYCOUNT:             64,
  INVALID_STRUCTURE:       67,
  KEY_OWNER_CONTROL:       68,
  BAD_COUNTER:             69,
  NOT_FULLWRITE:           70,
  MAXNVWRITES:             72,
  NOOPERATOR:              73,
  RESOURCEMISSING:         74,
  DELEGATE_LOCK:           75,
  DELEGATE_FAMILY:         76,
  TRANSPORT_NOTEXCLUSIVE:  78,
  OWNER_CONTROL:           79,
  DAA_INPUT_DATA0:         81,
  DAA_INPUT_DATA1:         82,
  DAA_ISSUER_SETTINGS:     83,
  DAA_TPM_SETTINGS:        84,
  DAA_STAGE:               85,
  DAA_ISSUER_VALIDITY:     86,
  DAA_WRONG_W:             87,
  BAD_HANDLE:              88,
  BADCONTEXT:              90,
  TOOMANYCONTEXTS:         91,
  MA_TICKET_SIGNATURE:     92,
  MA_DESTINATION:          93,
  MA_SOURCE:               94,
  MA_AUTHORITY:            95,
  PERMANENTEK:             97,
  BAD_SIGNATURE:           98,
  NOCONTEXTSPACE:          99,
  DEFEND_LOCK_RUNNING:     0x803,
} as const;
export type TpmResultName = keyof typeof TpmResult;
export type TpmResult = (typeof TpmResult)[TpmResultName];

/** A refusal that the guest sees. Anything else that is thrown is our bug, not the guest's. */
export class TpmFault extends Fault<TpmResult> {
  override readonly name = 'TpmFault';

  constructor(result: TpmResultName) {
    super(TpmResult[result], `TPM_${result}`);
  }
}

/** What `read` returns; a refusal in it, or bytes that do not parse, has this name then. */
export const refusedAs = <T>(result: TpmResultName, read: () => T): T =>
  refusedWith(() => new TpmFault(result), read);

/** Refuses with `result` unless `holds`. */
export function demand(holds: boolean, result: TpmResultName): asserts holds {
  if (!holds) throw new TpmFault(result);
}
