/**
 * Commands that go on until they are told to end: SIGTERM and SIGINT tell them.
 * @module
 */

/**
 * Runs `act` with a signal that is aborted when the process is told to end. The handlers stay: a signal
 * that comes while the process ends by itself must not take its exit code.
 */
export function untilSignal<T>(act: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const quit = new AbortController();
  const onSignal = (): void => quit.abort();
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  return act(quit.signal);
}
