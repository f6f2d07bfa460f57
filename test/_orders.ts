/** Serves orders that come and go through files: where pipes do not work, as under Wine. */
import { appendFileSync, readFileSync } from 'node:fs';

/** Answers each line of `orders` with one line in `answers`, until the order `end`. */
export function serveOrders(
  orders: string,
  answers: string,
  serve: (order: string) => string,
): void {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let served = 0; ; ) {
    const lines = readFileSync(orders, 'utf8').split('\n').slice(0, -1);
    for (const order of lines.slice(served)) {
      let answer: string;
      try {
        answer = serve(order);
      } catch (error) {
        answer = (error as { code?: string }).code ?? String(error);
      }
      appendFileSync(answers, `${answer}\n`);
      if (order === 'end') return;
      served += 1;
    }
    Atomics.wait(sleeper, 0, 0, 5);
  }
}
