import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { severalAtOnce } from './several-at-once.ts';

describe('several at once', () => {
  test('works on each once, never on more than the limit', async () => {
    const seen: number[] = [];
    let [running, most] = [0, 0];
    await severalAtOnce([1, 2, 3, 4, 5, 6, 7], 3, async item => {
      most = Math.max(most, ++running);
      await setImmediate();
      seen.push(item);
      running--;
    });
    expect(seen.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(most).toBe(3);
  });

  test('after a failure begins nothing new, and waits for what has begun', async () => {
    const [begun, ended]: [number[], number[]] = [[], []];
    const whole = severalAtOnce([1, 2, 3, 4], 2, async item => {
      begun.push(item);
      if (item === 1) throw new Error('first');
      await setImmediate();
      ended.push(item);
    });
    await expect(whole).rejects.toThrow('first');
    expect(begun).toEqual([1, 2]);
    expect(ended).toEqual([2]);
  });

  test('has nothing to do for none', async () => {
    await expect(severalAtOnce([], 5, () => Promise.reject(new Error('called')))).resolves.toBeUndefined();
  });
});
