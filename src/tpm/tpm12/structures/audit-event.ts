/**
 * Audit structures (TPM Main Part 2, §14).
 * @module
 */
import { counterValue, digest } from './basic.js';
import { structure } from './codecs.js';

// biome-ignore format: table
export const auditEventIn  = structure(0x0012, { inputParms:  digest, auditCount: counterValue });

// biome-ignore format: table
export const auditEventOut = structure(0x0013, { outputParms: digest, auditCount: counterValue });
