/**
 * The states of a command, and every move between them; an event without a cell is ignored. Source: the state transition table of TCG PC Client TIS 1.3 and PTP, with
 * the short cut that drivers expect: commandReady leads to Ready without a stay in Idle.
 * @module
 */

export const STATES = ['idle', 'ready', 'reception', 'execution', 'completion'] as const;
export type State = (typeof STATES)[number];

// biome-ignore format: table
export type Event =
  | 'commandReady'   // STS.commandReady was written.
  | 'fifoWrite'      // A byte was written to the FIFO.
  | 'tpmGo'          // STS.tpmGo was written, and the command is complete.
  | 'fifoRead'       // A byte was read from the FIFO.
  | 'responseRetry'  // STS.responseRetry was written.
  | 'commandCancel'  // STS.commandCancel was written.
  | 'localityLeft'   // The active locality releases the TPM, or loses it.
  | 'finished'       // The TPM has responded.
  | 'aborted'        // The TPM has responded after commandReady had asked it to stop.
  | 'abandoned'; // The TPM has responded after its locality had left.

// biome-ignore format: table
export type Action =
  | 'begin'      // Empties the FIFO, and signals that the TPM is ready.
  | 'clear'      // Empties the FIFO.
  | 'receive'    // Takes bytes of the command.
  | 'execute'    // Hands the command to the TPM.
  | 'stop'       // Asks the TPM to stop; the response will be discarded.
  | 'abandon'    // The same, after its locality has left.
  | 'cancel'     // Asks the TPM to stop; the response will be delivered.
  | 'answer'     // Makes the response readable, and signals it.
  | 'deliver'    // Hands out bytes of the response.
  | 'rewind'; // Back to the first byte of the response.

type Row = Readonly<Partial<Record<Event, readonly [Action, State]>>>;

// biome-ignore format: table
const MOVES: Readonly<Record<State, Row>> = {
  idle:       { commandReady:  ['begin',   'ready'] },

  ready:      { commandReady:  ['clear',   'ready'],
                fifoWrite:     ['receive', 'reception'],
                localityLeft:  ['clear',   'idle'] },

  reception:  { fifoWrite:     ['receive', 'reception'],
                tpmGo:         ['execute', 'execution'],
                commandReady:  ['begin',   'ready'],
                localityLeft:  ['clear',   'idle'] },

  execution:  { finished:      ['answer',  'completion'],
                commandCancel: ['cancel',  'execution'],
                commandReady:  ['stop',    'execution'],
                aborted:       ['begin',   'ready'],
                localityLeft:  ['abandon', 'execution'],
                abandoned:     ['clear',   'idle'] },

  completion: { fifoRead:      ['deliver', 'completion'],
                responseRetry: ['rewind',  'completion'],
                commandReady:  ['begin',   'ready'],
                localityLeft:  ['clear',   'idle'] },
};

/** The move that `event` makes from `state`, or undefined where it makes none. */
export const move = (state: State, event: Event): readonly [Action, State] | undefined =>
  MOVES[state][event];
