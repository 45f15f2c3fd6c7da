import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '#hack/api-test.ts';

/** Waits until a list of writes has stopped growing: the operator has nothing more to do. */
export async function quiet(writes: readonly string[], forMs = 700): Promise<void> {
  let length = -1;
  await eventually(async () => {
    if (writes.length === length) return true;
    ({ length } = writes);
    await sleep(forMs);
    return undefined;
  });
}
