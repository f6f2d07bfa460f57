/**
 * Trace events: what the layers report while they work, for `--trace` and for tests. A layer calls
 * the function that it was given and knows nothing of where the events go. No secret is ever put
 * into an event: names, offsets, lengths, generations and result codes only.
 * @module
 */

/**
 * What a trace sees: block requests, locks, stores, TPM commands, register accesses, transitions.
 */
// biome-ignore format: table
export type TraceEvent =
  | { readonly event: 'lock';     readonly type: 'shared' | 'exclusive'; readonly path: string; readonly flavour: string }
  | { readonly event: 'unlock';   readonly path: string }
  | { readonly event: 'read';     readonly path: string; readonly offset: number; readonly length: number }
  | { readonly event: 'write';    readonly path: string; readonly offset: number; readonly length: number }
  | { readonly event: 'flush';    readonly path: string }
  | { readonly event: 'validate'; readonly outcome: string; readonly generation?: number; readonly epoch?: number; readonly why?: string }
  | { readonly event: 'commit';   readonly generation: number; readonly epoch: number; readonly blobs: readonly string[] }
  | { readonly event: 'adopt';    readonly origin: 'migration' | 'hand-over' | 'roll-back'; readonly generation: number; readonly replaced: number | undefined }
  | { readonly event: 'failure';  readonly where: string; readonly why: string }
  | { readonly event: 'command';  readonly ordinal: number; readonly name: string; readonly locality: number; readonly result: number }
  | { readonly event: 'register'; readonly access: 'read' | 'write'; readonly address: number; readonly size: number; readonly value: number | undefined }
  | { readonly event: 'locality'; readonly active: number | undefined }
  | { readonly event: 'power';    readonly to: 'on' | 'off' | 'reset' | 'cut' }
  | { readonly event: 'migrate';  readonly step: string; readonly detail?: string };

/**
 * Takes the events as they happen, in the middle of what is traced: it must return soon and must not
 * throw. What it throws is discarded with the event: a trace never ends, fails or changes what it
 * watches.
 */
export type Trace = (event: TraceEvent) => void;

/** A sink that discards every event. */
export const noTrace: Trace = () => {};

const safe = new WeakSet<Trace>([noTrace]);

/** A trace that a layer can call anywhere: `trace`, with everything that it throws discarded. */
export function safeTrace(trace: Trace | undefined): Trace {
  if (trace === undefined) return noTrace;
  if (safe.has(trace)) return trace;
  const wrapped: Trace = event => {
    try {
      trace(event);
    } catch {
      // Thrown on from here, it would fail a store or a command halfway.
    }
  };
  safe.add(wrapped);
  return wrapped;
}
