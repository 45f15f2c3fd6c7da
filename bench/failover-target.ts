/** The two that the failover bench breaks, behind one interface: a shard of the operator's, and a bare StatefulSet. */
import { EndpointsObjects, StatefulSets } from '#kernel/resources.ts';
import { type Probe, startProbe } from '#test-e2e/probe/deploy.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard } from '#test-e2e/support/fleet-probe.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { eventually } from '#test-e2e/support/wait.ts';
import { applyBare, applyBareLogin, bareLogin, bareReady } from './bare-fleet.ts';

export interface Target {
  readonly name: string;
  /** Name of the lock's Endpoints, and of the read-write Service. */
  readonly service: string;
  readonly container: string;
  create(): Promise<void>;
  /** Every member is ready, and a synchronous standby streams from the primary. */
  healthy(): Promise<void>;
  probe(avoidNode: string | undefined): Promise<Probe>;
}

const healthyWithin = { deadlineMs: 300_000 };

export function shard(namespace: TestNamespace): Target {
  const container = 'database';
  return {
    name: 'shard',
    service: 'fleet-0',
    container,
    async create() {
      await namespace.apply(usualSchema);
      await namespace.apply(fleet({ ...usual, consistency: 'strong' }));
    },
    async healthy() {
      await namespace.current('fleet', healthyWithin);
      await streaming(namespace, 'fleet-0', async primary => superuserSql(namespace, primary, standbySql));
    },
    probe: avoidNode => probeShard(namespace, avoidNode === undefined ? {} : { avoidNode }),
  };
}

export function bare(namespace: TestNamespace): Target {
  const service = 'bare';
  return {
    name: 'bare',
    service,
    container: 'postgres',
    async create() {
      await applyBareLogin(namespace);
      await applyBare(namespace, [service]);
    },
    async healthy() {
      await namespace.until(
        StatefulSets,
        service,
        set =>
          set?.status?.readyReplicas === 2 ? undefined : `${set?.status?.readyReplicas ?? 0} are ready`,
        healthyWithin,
      );
      await bareReady(namespace, service);
      await streaming(namespace, service, async primary =>
        (
          await namespace.kubectl('exec', primary, '--', 'psql', '-XAtq', '-U', 'postgres', '-c', standbySql)
        ).split('\n'),
      );
    },
    probe: avoidNode =>
      startProbe(namespace, {
        service,
        user: 'postgres',
        database: 'postgres',
        createTable: true,
        secret: bareLogin,
        ...(avoidNode === undefined ? {} : { avoidNode }),
      }),
  };
}

/** Who holds the lock. */
export async function primaryOf(namespace: TestNamespace, service: string): Promise<string> {
  return (await namespace.get(EndpointsObjects, service)).metadata.annotations?.['leader'] ?? '';
}

const standbySql = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'";

async function streaming(
  namespace: TestNamespace,
  service: string,
  ask: (primary: string) => Promise<string[]>,
): Promise<void> {
  await eventually(
    `${service} has a synchronous standby`,
    namespace.name,
    async () => ((await ask(await primaryOf(namespace, service))).includes('sync') ? true : undefined),
    healthyWithin,
  );
}
