/**
 * Subcommands that run until SIGTERM or SIGINT.
 * @module
 */

/**
 * Runs `act` with a signal that is aborted by SIGTERM and SIGINT. The handlers stay: a signal that
 * arrives while the process ends by itself must not replace its exit code.
 */
export function untilSignal<T>(act: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const quit = new AbortController();
  const onSignal = (): void => quit.abort();
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  return act(quit.signal);
}
