/**
 * The result codes of TPM 1.2 under their names, and the errors of this client.
 * Source: TPM Main Part 2 §16.
 * @module
 */
import { NvtpmError } from '../errors.js';
import { ordinalName } from './constants.js';

// biome-ignore format: table
export const RESULT = {
  SUCCESS:                0x000,
  AUTHFAIL:               0x001,
  BADINDEX:               0x002,
  BAD_PARAMETER:          0x003,
  AUDITFAILURE:           0x004,
  CLEAR_DISABLED:         0x005,
  DEACTIVATED:            0x006,
  DISABLED:               0x007,
  DISABLED_CMD:           0x008,
  FAIL:                   0x009,
  BAD_ORDINAL:            0x00a,
  INSTALL_DISABLED:       0x00b,
  INVALID_KEYHANDLE:      0x00c,
  KEYNOTFOUND:            0x00d,
  INAPPROPRIATE_ENC:      0x00e,
  MIGRATEFAIL:            0x00f,
  INVALID_PCR_INFO:       0x010,
  NOSPACE:                0x011,
  NOSRK:                  0x012,
  NOTSEALED_BLOB:         0x013,
  OWNER_SET:              0x014,
  RESOURCES:              0x015,
  SHORTRANDOM:            0x016,
  SIZE:                   0x017,
  WRONGPCRVAL:            0x018,
  BAD_PARAM_SIZE:         0x019,
  SHA_THREAD:             0x01a,
  SHA_ERROR:              0x01b,
  FAILEDSELFTEST:         0x01c,
  AUTH2FAIL:              0x01d,
  BADTAG:                 0x01e,
  IOERROR:                0x01f,
  ENCRYPT_ERROR:          0x020,
  DECRYPT_ERROR:          0x021,
  INVALID_AUTHHANDLE:     0x022,
  NO_ENDORSEMENT:         0x023,
  INVALID_KEYUSAGE:       0x024,
  WRONG_ENTITYTYPE:       0x025,
  INVALID_POSTINIT:       0x026,
  INAPPROPRIATE_SIG:      0x027,
  BAD_KEY_PROPERTY:       0x028,
  BAD_MIGRATION:          0x029,
  BAD_SCHEME:             0x02a,
  BAD_DATASIZE:           0x02b,
  BAD_MODE:               0x02c,
  BAD_PRESENCE:           0x02d,
  BAD_VERSION:            0x02e,
  NO_WRAP_TRANSPORT:      0x02f,
  AUDITFAIL_UNSUCCESSFUL: 0x030,
  AUDITFAIL_SUCCESSFUL:   0x031,
  NOTRESETABLE:           0x032,
  NOTLOCAL:               0x033,
  BAD_TYPE:               0x034,
  INVALID_RESOURCE:       0x035,
  NOTFIPS:                0x036,
  INVALID_FAMILY:         0x037,
  NO_NV_PERMISSION:       0x038,
  REQUIRES_SIGN:          0x039,
  KEY_NOTSUPPORTED:       0x03a,
  AUTH_CONFLICT:          0x03b,
  AREA_LOCKED:            0x03c,
  BAD_LOCALITY:           0x03d,
  READ_ONLY:              0x03e,
  PER_NOWRITE:            0x03f,
  FAMILYCOUNT:            0x040,
  WRITE_LOCKED:           0x041,
  BAD_ATTRIBUTES:         0x042,
  INVALID_STRUCTURE:      0x043,
  KEY_OWNER_CONTROL:      0x044,
  BAD_COUNTER:            0x045,
  NOT_FULLWRITE:          0x046,
  CONTEXT_GAP:            0x047,
  MAXNVWRITES:            0x048,
  NOOPERATOR:             0x049,
  RESOURCEMISSING:        0x04a,
  DELEGATE_LOCK:          0x04b,
  DELEGATE_FAMILY:        0x04c,
  DELEGATE_ADMIN:         0x04d,
  TRANSPORT_NOTEXCLUSIVE: 0x04e,
  OWNER_CONTROL:          0x04f,
  DAA_RESOURCES:          0x050,
  DAA_INPUT_DATA0:        0x051,
  DAA_INPUT_DATA1:        0x052,
  DAA_ISSUER_SETTINGS:    0x053,
  DAA_TPM_SETTINGS:       0x054,
  DAA_STAGE:              0x055,
  DAA_ISSUER_VALIDITY:    0x056,
  DAA_WRONG_W:            0x057,
  BAD_HANDLE:             0x058,
  BAD_DELEGATE:           0x059,
  BADCONTEXT:             0x05a,
  TOOMANYCONTEXTS:        0x05b,
  MA_TICKET_SIGNATURE:    0x05c,
  MA_DESTINATION:         0x05d,
  MA_SOURCE:              0x05e,
  MA_AUTHORITY:           0x05f,
  PERMANENTEK:            0x061,
  BAD_SIGNATURE:          0x062,
  NOCONTEXTSPACE:         0x063,
  RETRY:                  0x800,
  NEEDS_SELFTEST:         0x801,
  DOING_SELFTEST:         0x802,
  DEFEND_LOCK_RUNNING:    0x803,
} as const;

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(RESULT).map(([name, code]) => [code, `TPM_${name}`]),
);

/** The specification's name of a result code, or its number in hex where it has none. */
export const resultName = (result: number): string =>
  NAMES.get(result) ?? `result 0x${result.toString(16)}`;

/** The TPM refused a command, with a result code. */
export class TpmResponseError extends NvtpmError {
  override readonly name = 'TpmResponseError';
  readonly code = 'RESULT';
  readonly outcome = 'FAILED';
  readonly ordinal: number;
  /** The result code as it came, in numbers. */
  readonly result: number;
  /** Its name in the specification. */
  readonly resultName: string;

  constructor(ordinal: number, result: number) {
    const named = resultName(result);
    super(`the TPM answered ${ordinalName(ordinal)} with ${named} (0x${result.toString(16)})`);
    this.ordinal = ordinal;
    this.result = result;
    this.resultName = named;
  }
}

/** FORM: not well-formed, or an EK of a wrong checksum. AUTH: the HMAC is not the right one. */
export type ResponseFault = 'RESPONSE_FORM' | 'RESPONSE_AUTH';

/** What came back is not the answer of a TPM that knows the secrets: do not trust its content. */
export class TpmResponseFault extends NvtpmError {
  override readonly name = 'TpmResponseFault';
  readonly code: ResponseFault;
  readonly outcome = 'FAILED';
  readonly ordinal: number;

  constructor(code: ResponseFault, ordinal: number, why: string, cause?: unknown) {
    super(`the answer to ${ordinalName(ordinal)} cannot be trusted: ${why}`);
    if (cause !== undefined) this.cause = cause;
    this.code = code;
    this.ordinal = ordinal;
  }
}
