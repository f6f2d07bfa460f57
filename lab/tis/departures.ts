/**
 * Where the TIS front end departs from QEMU's tpm-tis: the table of docs/tis.md, which is generated from
 * this, and scripts of register accesses that show a departure on both (test/tis/departures.test.ts).
 * @module
 */

/** A script that both devices run, and what one read after it returns on each. */
export interface Shown {
  readonly personality?: '2.0';
  /** locality.register=value in hex, one byte each unless `:size`; `go` is tpmGo in locality 0. */
  readonly script: string;
  /** What is read then: locality.register:size, or the level of the interrupt line. */
  readonly read: string;
  readonly here: number;
  readonly qemu: number;
}

export interface Departure {
  readonly name: string;
  readonly qemu: string;
  readonly here: string;
  readonly why: string;
  /** Absent where a script of accesses cannot show it. */
  readonly shown?: Shown;
}

export const STARTUP = '00 c1 00 00 00 0c 00 00 00 99 00 01';
const CAPABILITIES = '80 01 00 00 00 16 00 00 01 7a 00 00 00 02 00 00 01 10 00 00 00 ff';

/** Bytes to DATA_FIFO of locality 0, as a script has it. */
export const send = (bytes: string): string =>
  bytes
    .split(' ')
    .map(byte => `0.24=${byte}`)
    .join(' ');

// biome-ignore format: table
export const DEPARTURES: readonly Departure[] = [
  { name: 'locality change',
    qemu: "Each locality has a state; all share one FIFO, which is not emptied. A locality can read another's response, and its command can begin with another's bytes.",
    here: 'The command is aborted and the FIFO emptied.',
    why: 'TIS and PTP abort; anything else leaks between localities.',
    shown: { read: '1.18:4', here: 0x0010_0040, qemu: 0x000f_fb40,
      script: `0.00=02 0.18=40 ${send('00 c1 00 00 00')} 0.00=20 1.00=02 1.18=40` } },
  { name: 'giving up while a command runs',
    qemu: 'If no locality is waiting, the TPM is free at once and the command runs on.',
    here: 'The TPM is asked to stop, and is free when it has responded.',
    why: 'The same.' },
  { name: 'locality 4',
    qemu: 'All writes are dropped; there are no HASH registers.',
    here: 'The same, unless `locality4: true` is given: then locality 4 takes part, with its HASH registers.',
    why: 'TIS and PTP have a measured launch; no software on a PC reaches it.',
    shown: { read: '4.00:1', here: 0xa1, qemu: 0x81,
      script: '4.00=02' } },
  { name: 'surplus bytes',
    qemu: 'Bytes of the same access after the end of a command are sent to the TPM.',
    here: 'Dropped, like all later ones.',
    why: 'The size field says where a command ends.',
    shown: { read: '0.18:4', here: 0x000f_f480, qemu: 0x000f_f180,
      script: `0.00=02 0.18=40 ${send(STARTUP.slice(0, -3))} 0.24:4=aabbcc01` } },
  { name: 'size field',
    qemu: 'Its lower 16 bits decide when a command is complete.',
    here: 'All 32 bits.',
    why: 'The same.',
    shown: { read: '0.18:1', here: 0x88, qemu: 0x80,
      script: `0.00=02 0.18=40 ${send('00 c1 00 01 00 0a 00 00 00 00')}` } },
  { name: 'burst count by bytes',
    qemu: 'Reads of one byte show at most 255 before the command is complete, but 0 where 256 bytes of a response are left.',
    here: 'At most 255, always.',
    why: 'A driver that reads single bytes must not see 0.',
    shown: { personality: '2.0', read: '0.19:1', here: 0xff, qemu: 0x00,
      script: `0.00=02 0.18=40 ${send(CAPABILITIES)} go read-to-100` } },
  { name: 'two at once',
    qemu: 'Giving the TPM up and requesting it in one write, while another locality waits: gives it up, and waits.',
    here: 'Gives it up.',
    why: 'PTP leaves it open; one rule for all cases.',
    shown: { read: '0.00:1', here: 0x81, qemu: 0x83,
      script: '0.00=02 1.00=02 0.00=22' } },
  { name: 'events not enabled',
    qemu: "Both events of a response are set in INT_STATUS if either is enabled.",
    here: 'Only the enabled one.',
    why: 'The bits say what has interrupted.',
    shown: { read: '0.10:4', here: 0x01, qemu: 0x03,
      script: `0.00=02 0.08:4=80000001 0.18=40 ${send(STARTUP)} go` } },
  { name: 'interrupt line',
    qemu: 'Falls when INT_STATUS of a locality is cleared, and at no other time: not at reset, not when it is disabled, not when another locality takes over.',
    here: 'The line is that of the active locality: its INT_STATUS, as far as enabled.',
    why: 'Otherwise it can stay up while no locality is able to clear it.',
    shown: { read: 'line', here: 0, qemu: 1,
      script: '0.00=02 0.08:4=80000080 0.18=40 0.00=20' } },
  { name: 'failure',
    qemu: 'TPM_FAIL in a TPM 1.2 response, also for TPM 2.0. A response longer than the buffer overruns it; one shorter than its size field is waited for without end.',
    here: 'TPM_FAIL or TPM_RC_FAILURE, by the personality.',
    why: 'A driver looks at the tag.' },
  { name: 'resetEstablishmentBit',
    qemu: 'Goes to the backend with the locality of the last command.',
    here: 'With the locality that wrote it, in idle and ready only.',
    why: 'PTP.' },
];
