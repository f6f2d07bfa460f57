/**
 * The messages of swtpm's control protocol by number. Source: swtpm's TPM interface description
 * (swtpm_ioctls(3)); each message begins with its number, in 32 bits, big-endian.
 * @module
 */
const NAMES = [
  'CMD_GET_CAPABILITY',
  'CMD_INIT',
  'CMD_SHUTDOWN',
  'CMD_GET_TPMESTABLISHED',
  'CMD_SET_LOCALITY',
  'CMD_HASH_START',
  'CMD_HASH_DATA',
  'CMD_HASH_END',
  'CMD_CANCEL_TPM_CMD',
  'CMD_STORE_VOLATILE',
  'CMD_RESET_TPMESTABLISHED',
  'CMD_GET_STATEBLOB',
  'CMD_SET_STATEBLOB',
  'CMD_STOP',
  'CMD_GET_CONFIG',
  'CMD_SET_DATAFD',
  'CMD_SET_BUFFERSIZE',
  'CMD_GET_INFO',
  'CMD_LOCK_STORAGE',
] as const;

/** The name of message `number`, which counts from 1; undefined where there is none. */
export const controlMessageName = (number: number): string | undefined => NAMES[number - 1];
