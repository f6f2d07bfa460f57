/**
 * Names of swtpm's command line that nvtpm does not have, and what to use instead.
 * @module
 */
import { foreign, type OptionSpecs } from './options.js';

const PAGE = 'see docs/serve.md';

// biome-ignore format: table
export const SWTPM_OPTIONS: OptionSpecs = {
  tpmstate: foreign('--tpmstate <params>',  `is swtpm’s: the state lives in an image, nvtpm serve IMAGE; ${PAGE}`),
  tpm2:     foreign('--tpm2',               `is swtpm’s: the TPM is a TPM 1.2; ${PAGE}`),
  port:     foreign('-p, --port <port>',    `is swtpm’s: use --server type=tcp,port=PORT; ${PAGE}`),
  fd:       foreign('--fd <fd>',            `is swtpm’s: sockets are not inherited, use --server; ${PAGE}`),
  log:      foreign('--log <params>',       `is swtpm’s: use --trace FILE; ${PAGE}`),
  daemon:   foreign('-d, --daemon',         `is swtpm’s: start nvtpm serve in the background, --pid file=PATH has its process id; ${PAGE}`),
};

/** The subcommands that start swtpm. */
export const SWTPM_SUBCOMMANDS: ReadonlyMap<string, string> = new Map(
  ['socket', 'chardev', 'cuse'].map(name => [name, `is swtpm’s: use nvtpm serve IMAGE; ${PAGE}`]),
);
