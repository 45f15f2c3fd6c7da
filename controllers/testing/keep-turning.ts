/** Plays whoever else is at work in a cluster: one turn after the other, until the stack is disposed of. */
import { setTimeout as sleep } from 'node:timers/promises';

export function keepTurning(cleanup: AsyncDisposableStack, turn: () => Promise<void>, pauseMs = 100): void {
  const stop = new AbortController();
  const turning = (async () => {
    while (!stop.signal.aborted) {
      await turn();
      await sleep(pauseMs);
    }
  })();
  cleanup.defer(async () => {
    stop.abort();
    await turning;
  });
}
