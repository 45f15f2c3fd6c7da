/**
 * A drill as a Job: a volume of its own that goes with its pod, and nothing that would let it speak to the live shard - no
 * passwords, no certificate. What it compares with comes in its request, which the live database was asked for.
 */
import { shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { DrillRequest } from '#engines/backup.ts';
import type { RenderContext } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';
import { digestSettings, digestStatement } from './digest.ts';
import { databaseVolumes, taskJob } from './job.ts';

export function drillJob(shard: Shard, request: DrillRequest, context: RenderContext): KubeObject {
  const { storage } = shard.spec;
  return taskJob(
    shard,
    {
      kind: 'drill',
      name: shardChildren.drillJob(shard.metadata.name),
      request,
      input: drillInput(shard, request),
      resources: shard.spec.resources,
      ...databaseVolumes({
        ephemeral: {
          volumeClaimTemplate: {
            spec: {
              accessModes: ['ReadWriteOnce'],
              resources: { requests: { storage: storage.size } },
              ...(storage.storageClassName !== undefined && { storageClassName: storage.storageClassName }),
              volumeMode: 'Filesystem',
            },
          },
        },
      }),
    },
    context,
  );
}

/** What images/postgres/drill.py reads. */
export function drillInput(shard: Shard, { target, expect }: DrillRequest): Record<string, unknown> {
  return {
    ...(target !== undefined && { target }),
    ...(expect.mark !== undefined && { mark: expect.mark }),
    ...(expect.contents !== undefined && { contents: expect.contents }),
    database: shard.spec.engine.database,
    digest: { settings: digestSettings, statement: digestStatement(drillTable) },
  };
}

/** The drill sets it before each table. */
const drillTable = `current_setting('shardwright.table')::regclass`;
