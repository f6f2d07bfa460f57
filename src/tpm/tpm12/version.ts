/**
 * The manufacturer and version that this TPM reports: libtpms's, since software that knows the
 * answer of one must not see another TPM behind the other (TPM Main Part 2, §21.6).
 * @module
 */
import { encode } from '../../wire/codec.js';
import { capVersionInfo } from './structures/capability-info.js';

export const MANUFACTURER = new TextEncoder().encode('IBM\0');

export const TPM_VERSION = Uint8Array.of(0x01, 0x02, 0x12, 0x9e);

const SPEC_LEVEL = 2;

const ERRATA_REVISION = 3;

/** The bytes of TPM_CAP_VERSION_INFO. */
export const versionInfo = (): Uint8Array =>
  encode(capVersionInfo, {
    version: TPM_VERSION,
    specLevel: SPEC_LEVEL,
    errataRev: ERRATA_REVISION,
    tpmVendorID: MANUFACTURER,
    vendorSpecific: new Uint8Array(),
  });
