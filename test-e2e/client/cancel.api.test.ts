/** A cancel that comes too late for its statement hits no other. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { dialDirectly } from '#client/dial.ts';
import type { Dial } from '#client/options.ts';
import { PostgresFleet } from './postgres-fleet.ts';

it('gives up the session whose cancel is still on its way', async () => {
  await using fleet = await PostgresFleet.start(1);
  let held: (() => void) | undefined;
  let holding = false;
  const dial: Dial = async (endpoint, signal) => {
    if (holding && endpoint.host !== 'localhost') await new Promise<void>(resolve => (held = resolve));
    return dialDirectly({ host: '127.0.0.1', port: fleet.portOf(endpoint.host) }, signal);
  };
  await using client = fleet.client({ dial, pool: { max: 1 } });
  await client.ready();
  const slow = (seconds: number, timeoutMs: number) =>
    client.forKey(1).query('SELECT pg_sleep($1)', [seconds], { timeoutMs });
  await slow(0, 5000);
  // From here on the only new connection is the one that carries the cancel: it is held until the statement has answered.
  holding = true;
  await slow(0.7, 400).catch(() => undefined);
  holding = false;
  const next = slow(1.5, 20_000);
  await sleep(200);
  held?.();
  await expect(next).resolves.toMatchObject({ rowCount: 1 });
});
