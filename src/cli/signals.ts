/**
 * Subcommands that run until SIGTERM or SIGINT.
 * @module
 */

/** `ready` runs an announcement once the server runs; what that throws ends the server in order. */
type Run<T> = (signal: AbortSignal, ready: (announce: () => void) => void) => Promise<T>;

/**
 * Runs `act` with a signal that is aborted by SIGTERM and SIGINT. The handlers stay: a signal that
 * arrives while the process ends by itself must not replace its exit code.
 * @throws what `act` throws; what an announcement threw, once `act` has ended
 */
export async function untilSignal<T>(act: Run<T>): Promise<T> {
  const quit = new AbortController();
  const onSignal = (): void => quit.abort();
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  const faults: unknown[] = [];
  const result = await act(quit.signal, announce => {
    try {
      announce();
    } catch (error) {
      faults.push(error);
      quit.abort();
    }
  });
  if (faults.length > 0) throw faults[0];
  return result;
}
