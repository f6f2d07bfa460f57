/**
 * A QMP monitor: how a management program controls the machine. Requests, replies, errors and events
 * have the form of QEMU 7.2's; the words of an error are QEMU's where a program may match on them.
 * @module
 */
import { NvtpmError } from '../errors.js';
import type { Output, Session } from './conversation.js';
import type { Host } from './host.js';
import { JsonStream, type Parsed } from './json-stream.js';
import { COMMANDS, QmpError, type QmpVersion } from './qmp-commands.js';

interface Request {
  readonly execute: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface QmpOptions {
  readonly host: Host;
  readonly version: QmpVersion;
}

/** The monitor. Each client negotiates for itself; events go to all that have. */
export class Qmp {
  readonly #options: QmpOptions;

  constructor(options: QmpOptions) {
    this.#options = options;
  }

  attach = (output: Output): Session => {
    const client = new Client(this.#options, output);
    const values = new JsonStream();
    return {
      take: chunk => client.handleEach(values.push(chunk)),
      isPartial: () => values.partial,
      close: () => client.close(),
    };
  };
}

class Client {
  readonly #options: QmpOptions;
  readonly #output: Output;
  readonly close: () => void;
  #negotiated = false;

  constructor(options: QmpOptions, output: Output) {
    this.#options = options;
    this.#output = output;
    this.close = options.host.onEvent(event => {
      if (this.#negotiated) this.#send(event);
    });
    this.#send({ QMP: { version: options.version, capabilities: [] } });
  }

  /** Handles one request for each item that is taken. */
  *handleEach(requests: Iterable<Parsed>): Generator<void> {
    for (const parsed of requests) {
      this.#handle(parsed);
      yield;
    }
  }

  #handle(parsed: Parsed): void {
    const value = 'value' in parsed ? parsed.value : undefined;
    const id = isObject(value) && 'id' in value ? { id: value['id'] } : {};
    try {
      if ('fault' in parsed) throw new QmpError('GenericError', parsed.fault);
      this.#send({ return: this.#run(readRequest(value)), ...id });
    } catch (error) {
      this.#send({ ...id, error: describe(error) });
    }
  }

  #run({ execute, arguments: given }: Request): unknown {
    const negotiates = execute === 'qmp_capabilities';
    if (!this.#negotiated && !negotiates) {
      const why = "Expecting capabilities negotiation with 'qmp_capabilities'";
      throw new QmpError('CommandNotFound', why);
    }
    if (this.#negotiated && negotiates) {
      const why = 'Capabilities negotiation is already complete, command ignored';
      throw new QmpError('CommandNotFound', why);
    }
    const command = Object.hasOwn(COMMANDS, execute) ? COMMANDS[execute] : undefined;
    if (command === undefined) {
      const name = execute.slice(0, 64);
      throw new QmpError('CommandNotFound', `The command ${name} has not been found`);
    }
    checkArguments(given, command.takes ?? {});
    const { host, version } = this.#options;
    const result = command.run({ host, version }, given);
    this.#negotiated ||= negotiates;
    return result ?? {};
  }

  #send(message: unknown): void {
    this.#output.write(`${JSON.stringify(message)}\r\n`);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const MEMBERS = ['execute', 'arguments', 'id'];

function readRequest(value: unknown): Request {
  const refuse = (why: string): never => {
    throw new QmpError('GenericError', why);
  };
  if (!isObject(value)) return refuse('QMP input must be a JSON object');
  const unknown = Object.keys(value).find(member => !MEMBERS.includes(member));
  if (unknown !== undefined) {
    return refuse(`QMP input member '${unknown.slice(0, 64)}' is unexpected`);
  }
  const { execute, arguments: given = {} } = value;
  if (execute === undefined) return refuse("QMP input lacks member 'execute'");
  if (typeof execute !== 'string') return refuse("QMP input member 'execute' must be a string");
  if (!isObject(given)) return refuse("QMP input member 'arguments' must be an object");
  return { execute, arguments: given };
}

/** Each argument of a command is a string, which is mandatory, or an optional list. */
function checkArguments(
  given: Readonly<Record<string, unknown>>,
  takes: Readonly<Record<string, 'string' | 'optional array'>>,
): void {
  for (const [name, type] of Object.entries(takes)) {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    if (value === undefined && type === 'optional array') continue;
    if (value === undefined) throw new QmpError('GenericError', `Parameter '${name}' is missing`);
    const fits = type === 'string' ? typeof value === 'string' : Array.isArray(value);
    if (fits) continue;
    const expected = type === 'string' ? 'string' : 'array';
    const why = `Invalid parameter type for '${name}', expected: ${expected}`;
    throw new QmpError('GenericError', why);
  }
  const unknown = Object.keys(given).find(name => !Object.hasOwn(takes, name));
  if (unknown === undefined) return;
  throw new QmpError('GenericError', `Parameter '${unknown.slice(0, 64)}' is unexpected`);
}

/** An error in QMP's form. @throws what is neither the client's fault nor the machine's: a bug */
function describe(error: unknown): { class: string; desc: string } {
  if (error instanceof QmpError) return { class: error.code, desc: error.message };
  if (error instanceof NvtpmError) return { class: 'GenericError', desc: error.message };
  throw error;
}
