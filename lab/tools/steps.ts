/**
 * What trousers' clients are asked, in an order that uses a TPM from its first day to its last:
 * tpm-tools, tpm-quote-tools and simple-tpm-pk11. `fails` is what the tool is known to do; that both
 * TPMs make it say the same is for the suite to find out.
 */

export type Step =
  /** A program and its arguments; a word that begins with % is a file of the tools. */
  | {
      readonly tool: readonly string[];
      /** What it reads when it asks for secrets. */
      readonly input?: string;
      readonly fails?: true;
      /** What it says about the EK must be what the same TPM said before. */
      readonly sameEk?: true;
      /** What it prints is random, so that only its length counts. */
      readonly random?: true;
      /** It prints uninitialised memory on standard error. */
      readonly noisy?: true;
    }
  /** A command that goes to the TPM past tcsd, in hex. */
  | { readonly raw: string }
  /** Checks the signature of the last quote, since tpm_verifyquote cannot read its own keys. */
  | { readonly quote: true }
  /** SIGKILL, and a start from what is stored. */
  | { readonly cut: true };

type Options = Omit<Extract<Step, { tool: unknown }>, 'tool'>;
const run = (line: string, options: Options = {}): Step => ({ tool: line.split(' '), ...options });
const fails = (line: string, options: Options = {}): Step => run(line, { ...options, fails: true });
const raw = (command: string): Step => ({ raw: command });

const CUT: Step = { cut: true };
const QUOTE: Step = { quote: true };
const CMD_ENABLE = raw('00c1 0000000c 4000000a 0020');
const PRESENT = raw('00c1 0000000c 4000000a 0008');
const EXTEND_10 = raw(`00c1 00000022 00000014 0000000a ${'5a'.repeat(20)}`);
/** As firmware does after a power cut: physical presence. */
const POWER_CUT = [CUT, PRESENT];

const lines = (...secrets: readonly string[]): string => secrets.map(each => `${each}\n`).join('');
const OWNER = 'the owner';
const NEXT_OWNER = 'the owner, later';
const SRK = 'the root of storage';

const BLANK: readonly Step[] = [
  CMD_ENABLE,
  PRESENT,
  run('tpm_version', { noisy: true }),
  run('tpm_selftest'),
  run('tpm_selftest -r'),
  fails('tpm_getpubek'),
  fails('tpm_setpresence -s'),
  fails('tpm_setpresence -a'),
  run('tpm_createek'),
  fails('tpm_createek'),
  run('tpm_getpubek', { sameEk: true }),
  fails('tpm_revokeek -i %secret'),
  run('tpm_setownable -p'),
  fails('tpm_takeownership -y -z'),
  run('tpm_setownable -a'),
  fails('tpm_setenable -d -f'),
  run('tpm_setenable -e -f'),
  run('tpm_setactive -i'),
  run('tpm_setactive -a'),
  run('tpm_setoperatorauth -z'),
  run('tpm_setactive -i -t', { input: lines('') }),
  run('tpm_version', { noisy: true }),
  ...POWER_CUT,
];

const OWNERSHIP: readonly Step[] = [
  run('tpm_takeownership -z', { input: lines(OWNER, OWNER) }),
  fails('tpm_takeownership -y -z'),
  run('tpm_getpubek', { input: lines(OWNER), sameEk: true }),
  fails('tpm_getpubek', { input: lines('somebody else') }),
  fails('tpm_getpubek -z'),
  run('tpm_changeownerauth -o', { input: lines(OWNER, NEXT_OWNER, NEXT_OWNER) }),
  fails('tpm_setenable -s', { input: lines(OWNER) }),
  run('tpm_setenable -s', { input: lines(NEXT_OWNER) }),
  run('tpm_changeownerauth -s', { input: lines(NEXT_OWNER, SRK, SRK) }),
  run('tpm_sealdata -i %clear -o %sealed-srk', { input: lines(SRK) }),
  fails('tpm_sealdata -z -i %clear -o %sealed-no'),
  run('tpm_unsealdata -i %sealed-srk -o %unsealed-srk', { input: lines(SRK) }),
  run('cmp %clear %unsealed-srk'),
  fails('tpm_unsealdata -i %sealed-srk', { input: lines('another') }),
  run('tpm_resetdalock', { input: lines(NEXT_OWNER) }),
  run('tpm_changeownerauth -s -r', { input: lines(NEXT_OWNER) }),
  run('tpm_changeownerauth -o -r', { input: lines(NEXT_OWNER) }),
  run('tpm_changeownerauth -o -z', { input: lines(OWNER, OWNER) }),
  run('tpm_changeownerauth -o -r', { input: lines(OWNER) }),
  run('tpm_changeownerauth -o -z -n', { input: lines(OWNER, OWNER) }),
  fails('tpm_setownable -s', { input: lines(OWNER) }),
  run('tpm_setownable -s -u', { input: lines(OWNER) }),
  run('tpm_changeownerauth -o -r -g', { input: lines(OWNER) }),
  run('tpm_resetdalock -z'),
];

const FLAGS: readonly Step[] = [
  run('tpm_setenable -s -z'),
  run('tpm_setownable -s -z'),
  run('tpm_setactive -s -z'),
  run('tpm_setclearable -s -z'),
  run('tpm_restrictpubek -s -z'),
  run('tpm_restrictpubek -r -z'),
  run('tpm_restrictpubek -s -z'),
  run('tpm_restrictsrk -s -z'),
  run('tpm_restrictsrk -a -z'),
  run('tpm_restrictsrk -s -z'),
  run('tpm_restrictsrk -r -z'),
  run('tpm_setenable -d -z'),
  fails('tpm_setenable -s -z'),
  run('tpm_setenable -e -z'),
];

const NV: readonly Step[] = [
  run('tpm_nvinfo'),
  run('tpm_nvdefine -i 0x00011101 -s 64 -p OWNERREAD|OWNERWRITE -y'),
  fails('tpm_nvdefine -i 0x00011101 -s 64 -p OWNERREAD|OWNERWRITE -y -z'),
  run('tpm_nvwrite -i 0x00011101 -s 8 -d nv-data! -z'),
  run('tpm_nvwrite -i 0x00011101 -n 60 -s 4 -m 0x7e -z'),
  fails('tpm_nvwrite -i 0x00011101 -n 61 -s 4 -m 0x7e -z'),
  run('tpm_nvread -i 0x00011101 -s 64 -z'),
  run('tpm_nvread -i 0x00011101 -n 2 -s 3 -z -f %nv'),
  run('od -c %nv'),
  run('tpm_nvinfo -i 0x00011101'),
  run('tpm_nvdefine -i 0x00011102 -s 14 -p AUTHREAD|AUTHWRITE -y -a=pencil'),
  run('tpm_nvwrite -i 0x00011102 -s 14 -f %clear -p=pencil'),
  run('tpm_nvread -i 0x00011102 -s 14 -p=pencil'),
  fails('tpm_nvread -i 0x00011102 -s 14 -p=pen'),
  run('tpm_nvdefine -i 0x00011103 -s 4 -p PPREAD|PPWRITE|WRITEALL -y'),
  run('tpm_nvwrite -i 0x00011103 -s 4 -d ping'),
  fails('tpm_nvwrite -i 0x00011103 -s 2 -d po'),
  run('tpm_nvread -i 0x00011103 -s 4'),
  run('tpm_nvdefine -i 0x00011104 -s 4 -p OWNERREAD|OWNERWRITE|WRITEDEFINE|READ_STCLEAR -y -r 10'),
  run('tpm_nvwrite -i 0x00011104 -s 4 -d once -z'),
  run('tpm_nvread -i 0x00011104 -s 4 -z'),
  fails('tpm_nvdefine -i 0x00011105 -s 60000 -p OWNERREAD|OWNERWRITE -y'),
  fails('tpm_nvread -i 0x00011199 -s 4 -z'),
  fails('tpm_nvrelease -i 0x00011199 -y'),
  run('tpm_nvrelease -i 0x00011103 -y'),
  run('tpm_nvinfo -n'),
  run('tpm_nvinfo'),
];

const SEALING: readonly Step[] = [
  run('tpm_sealdata -z -i %clear -o %sealed'),
  run('tpm_unsealdata -z -i %sealed -o %unsealed'),
  run('cmp %clear %unsealed'),
  run('tpm_sealdata -z -p 10 -p 11 -i %clear -o %sealed-now'),
  run('tpm_unsealdata -z -i %sealed-now'),
  EXTEND_10,
  fails('tpm_unsealdata -z -i %sealed-now'),
  fails('tpm_unsealdata -z -i %clear'),
];

const QUOTES: readonly Step[] = [
  run('tpm_mkuuid %uuid'),
  run('wc -c %uuid'),
  run('tpm_mkaik -z %aik %aik.pub'),
  run('wc -c %aik %aik.pub'),
  run('tpm_loadkey %aik %uuid'),
  fails('tpm_loadkey %aik %uuid'),
  run('tpm_getpcrhash %uuid %pcr.hash %pcr.values 0 10'),
  run('cat %pcr.values'),
  run('wc -c %pcr.hash'),
  run('tpm_updatepcrhash %pcr.hash %pcr.values %pcr.hash-again'),
  run('tpm_getquote -p %quote.values %uuid %nonce %quote 0 10'),
  run('wc -c %quote'),
  run('cmp %pcr.values %quote.values'),
  QUOTE,
  fails('tpm_verifyquote %aik.pub %pcr.hash %nonce %quote'),
];

const SIGNING: readonly Step[] = [
  run('stpm-keygen -o %made.key'),
  run('stpm-sign -r -k %made.key -f %clear', { random: true }),
  {
    tool: ['sh', '-c', 'stpm-sign -r -k "$0" -f "$1" >"$2"', '%made.key', '%clear', '%signature'],
  },
  run('stpm-verify -f %clear -k %made.key -s %signature'),
  fails('stpm-verify -f %nonce -k %made.key -s %signature'),
  run('stpm-keygen -p -o %pin.key', { input: lines('1234') }),
  run('stpm-sign -r -k %pin.key -f %clear', { input: lines('1234'), random: true }),
  fails('stpm-sign -r -k %pin.key -f %clear', { input: lines('4321') }),
  run('tpm_restrictsrk -a -z'),
  run('stpm-keygen -S -o %wrapped.key'),
  run('stpm-sign -r -k %wrapped.key -f %clear', { random: true }),
  run('tpm_changeownerauth -o -z', { input: lines(OWNER, OWNER) }),
  // It wants a migration key of a kind that neither TPM takes.
  fails('stpm-exfiltrate -k %wrapped.key', { input: lines(OWNER) }),
  fails('stpm-exfiltrate -k %made.key', { input: lines(OWNER) }),
  run('tpm_changeownerauth -o -r', { input: lines(OWNER) }),
  fails('stpm-exfiltrate -O -k %made.key'),
];

/** What was acknowledged before the power was cut is there after it. */
const AFTER_CUT: readonly Step[] = [
  ...POWER_CUT,
  run('tpm_getpubek -z', { sameEk: true }),
  run('tpm_nvread -i 0x00011101 -s 64 -z'),
  run('tpm_nvread -i 0x00011102 -s 14 -p=pencil'),
  run('tpm_nvinfo'),
  run('tpm_unsealdata -z -i %sealed -o %unsealed-later'),
  run('cmp %clear %unsealed-later'),
  // PCR 10 was extended before the power was cut: what is signed now is not what it was then.
  run('tpm_getpcrhash %uuid %pcr.hash %pcr.values 0 10'),
  run('cat %pcr.values'),
  run('tpm_getquote %uuid %nonce %quote 0 10'),
  QUOTE,
  run('tpm_unloadkey %uuid'),
  fails('tpm_getquote %uuid %nonce %quote 0 10'),
  run('stpm-sign -r -k %made.key -f %clear', { random: true }),
  run('tpm_nvrelease -i 0x00011101 -y'),
  run('tpm_nvinfo -n'),
];

const CLEARING: readonly Step[] = [
  run('tpm_setclearable -f'),
  fails('tpm_clear -f'),
  run('tpm_setclearable -o -z'),
  fails('tpm_clear -z'),
  run('tpm_setclearable -s -z'),
  ...POWER_CUT,
  run('tpm_clear -f'),
  run('tpm_version', { noisy: true }),
  fails('tpm_takeownership -y -z'),
  run('tpm_setenable -e -f'),
  run('tpm_setactive -a'),
  ...POWER_CUT,
  run('tpm_getpubek', { sameEk: true }),
  run('tpm_takeownership -y -z'),
  fails('tpm_unsealdata -z -i %sealed'),
  run('tpm_clear -z'),
  run('tpm_selftest -r'),
];

/** One TPM, from the first day to the last. */
export const LIFE: readonly Step[] = [
  ...BLANK,
  ...OWNERSHIP,
  ...FLAGS,
  ...NV,
  ...SEALING,
  ...QUOTES,
  ...SIGNING,
  ...AFTER_CUT,
  ...CLEARING,
];

/** One with an EK that can be revoked. */
export const REVOCABLE: readonly Step[] = [
  CMD_ENABLE,
  PRESENT,
  run('tpm_createek -r -g -o %revoke'),
  run('wc -c %revoke'),
  run('tpm_getpubek', { sameEk: true }),
  run('tpm_takeownership -y -z'),
  fails('tpm_revokeek -i %secret'),
  ...POWER_CUT,
  run('tpm_getpubek -z', { sameEk: true }),
  run('tpm_revokeek -i %revoke'),
  fails('tpm_getpubek'),
  ...POWER_CUT,
  run('tpm_setenable -e -f'),
  run('tpm_setactive -a'),
  ...POWER_CUT,
  run('tpm_createek -r -i %secret'),
  run('tpm_revokeek -i %secret'),
];
