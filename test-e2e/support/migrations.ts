/** ShardMigrations of the tests: made, waited for, and told about. */

import {
  type MigrationEnd,
  type MigrationPhase,
  migrationEnd,
  migrationStep,
  type ShardMigrationStatus,
} from '#crds/api/migration/status.ts';
import { apiVersion } from '#crds/api/names.ts';
import type { ShardMigrationSpec } from '#crds/api/shard-migration.ts';
import type { KubeObject } from '#kernel/object.ts';
import { CoreEvents } from '#kernel/resources.ts';
import type { DeepPartial } from './deep-partial.ts';
import type { TestNamespace } from './namespace.ts';
import { type ShardMigrationObject, ShardMigrations } from './resources.ts';
import type { WaitOptions } from './wait.ts';

type Spec = DeepPartial<ShardMigrationSpec>;

export interface MigrationManifest extends KubeObject {
  spec: Spec;
}

/** Of the fleet `fleet`, cut over as soon as it can be, and cleaned up at once; anything given wins. */
export function migration(name: string, spec: Spec): MigrationManifest {
  return {
    apiVersion,
    kind: 'ShardMigration',
    metadata: { name },
    spec: { cluster: { name: 'fleet' }, rollbackWindow: '0s', ...spec },
  };
}

const order: readonly MigrationPhase[] = ['Pending', ...migrationStep.options];

function ended(phase: MigrationPhase): boolean {
  return migrationEnd.options.some(end => end === phase);
}

export function phaseOf(object: ShardMigrationObject | undefined): MigrationPhase {
  return object?.status?.phase ?? 'Pending';
}

/** One line about it, for waits that end in vain. */
export function story(object: ShardMigrationObject | undefined): string {
  if (object === undefined) return 'it is not there';
  const conditions = (object.status?.conditions ?? [])
    .map(({ type, status, reason, message }) => `${type}=${status} ${reason}: ${message}`)
    .join('; ');
  return `it is in phase ${phaseOf(object)} (${conditions})`;
}

/** Waits until it has come as far as `phase`, or beyond. An end that is not asked for fails at once. */
export async function reached(
  namespace: TestNamespace,
  name: string,
  phase: MigrationPhase,
  options: WaitOptions = {},
): Promise<ShardMigrationObject> {
  return namespace.until(
    ShardMigrations,
    name,
    object => {
      const now = phaseOf(object);
      if (now === phase) return undefined;
      if (ended(now)) {
        if (phase !== 'VerifyAndCleanup' || now !== 'Completed') throw new Error(`${name}: ${story(object)}`);
        return undefined;
      }
      return order.indexOf(now) >= order.indexOf(phase) && !ended(phase) ? undefined : story(object);
    },
    { deadlineMs: 300_000, ...options },
  );
}

/** Waits until it has ended so; another end fails at once. */
export async function endedAs(
  namespace: TestNamespace,
  name: string,
  ending: MigrationEnd | readonly MigrationEnd[],
  options: WaitOptions = {},
): Promise<ShardMigrationObject> {
  const wanted: readonly MigrationPhase[] = typeof ending === 'string' ? [ending] : ending;
  return namespace.until(
    ShardMigrations,
    name,
    object => {
      const now = phaseOf(object);
      if (wanted.includes(now)) return undefined;
      if (ended(now)) throw new Error(`${name}: ${story(object)}`);
      return story(object);
    },
    { deadlineMs: 300_000, ...options },
  );
}

export function patchMigration(
  namespace: TestNamespace,
  name: string,
  spec: Spec,
): Promise<ShardMigrationObject> {
  return namespace.patch(ShardMigrations, name, { spec });
}

export async function annotate(namespace: TestNamespace, name: string, annotation: string): Promise<void> {
  await namespace.patch(ShardMigrations, name, { metadata: { annotations: { [annotation]: 'yes' } } });
}

/** What was said about it, oldest first: `Reason: message`. */
export async function eventsOf(namespace: TestNamespace, name: string): Promise<readonly string[]> {
  const events = await namespace.list(CoreEvents);
  const when = (event: (typeof events)[number]): string =>
    event.eventTime ?? event.lastTimestamp ?? event.metadata.creationTimestamp ?? '';
  return events
    .filter(({ involvedObject }) => involvedObject.kind === 'ShardMigration' && involvedObject.name === name)
    .toSorted((a, b) => when(a).localeCompare(when(b)))
    .map(({ reason, message }) => `${reason}: ${message}`);
}

export async function statusOf(namespace: TestNamespace, name: string): Promise<ShardMigrationStatus> {
  return (await namespace.get(ShardMigrations, name)).status ?? {};
}

/** For the test's output. */
export function tellMigration(name: string, { status }: ShardMigrationObject): void {
  const phases = (status?.phases ?? [])
    .map(({ name: phase, startTime, endTime }) => {
      const tookMs = endTime === undefined ? undefined : Date.parse(endTime) - Date.parse(startTime);
      return `${phase}${tookMs === undefined ? '' : ` ${(tookMs / 1000).toFixed(0)} s`}`;
    })
    .join(', ');
  const stall = status?.cutover?.writeStallMs;
  process.stderr.write(`${name}: ${status?.phase}; ${phases}; stall ${stall ?? '-'} ms\n`);
}
