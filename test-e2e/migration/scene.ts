/** What every story of a migration begins and ends with: a fleet with the load's tables, and proof that nothing went wrong. */
import { expect } from 'vitest';
import {
  type FinishedLoad,
  forLoad,
  type Load,
  loadSchemaOf,
  tellLoad,
  wrongs,
} from '#test-e2e/load/deploy.ts';
import type { Shape } from '#test-e2e/load/shape.ts';
import { type FleetOptions, fleet } from '#test-e2e/support/fleet.ts';
import { nothingLeft, storedRows, type Traces, tracesBefore } from '#test-e2e/support/migration-leaks.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';

/** Makes the fleet and waits for it. Resolves with what its databases look like before any migration. */
export async function setUp(
  namespace: TestNamespace,
  options: FleetOptions,
  shape?: Pick<Shape, 'keyType' | 'regions'>,
): Promise<Traces> {
  await namespace.apply(loadSchemaOf(shape));
  await namespace.apply(
    fleet({ ...forLoad, ...options, sharding: { ...forLoad.sharding, ...options.sharding } }),
  );
  await namespace.current('fleet', { deadlineMs: 300_000 });
  return tracesBefore(namespace);
}

/**
 * Ends the load and compares. `calm`: nothing but migrations happened, so no call may have failed either.
 */
export async function nothingWentWrong(
  what: string,
  load: Load,
  calm: 'calm' | 'disturbed' = 'calm',
): Promise<FinishedLoad> {
  const finished = await load.finish();
  tellLoad(what, finished);
  expect(wrongs(finished)).toEqual([]);
  expect(finished.report.acknowledged).toBeGreaterThan(0);
  expect(finished.report.passes.right).toBeGreaterThan(0);
  const { failed, passes, errors } = finished.report;
  if (calm === 'calm') expect(failed + passes.failed === 0 ? [] : errors).toEqual([]);
  return finished;
}

/** Nothing of a migration is left, and all databases together hold what the application saw: no row is hidden anywhere. */
export async function cleanAfter(
  namespace: TestNamespace,
  before: Traces,
  { report }: FinishedLoad,
): Promise<void> {
  await nothingLeft(namespace, before);
  expect(await storedRows(namespace)).toEqual(report.rows);
}
