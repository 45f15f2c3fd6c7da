/** A look into the store as a Job: what it holds of a fleet that may be gone. */
import type { Shard } from '#crds/api/shard.ts';
import type { RenderContext } from '#engines/engine.ts';
import type { CatalogRequest } from '#engines/recovery.ts';
import type { KubeObject } from '#kernel/object.ts';
import { taskJob } from '../backup/job.ts';
import { KEEP_SECONDS } from './recover-job.ts';

export function catalogJob(shard: Shard, request: CatalogRequest, context: RenderContext): KubeObject {
  return taskJob(
    shard,
    {
      kind: 'catalog',
      name: request.job,
      request,
      // What images/postgres/catalog.py reads.
      input: { path: request.path },
      resources: {},
      ...(request.serviceAccount !== undefined && { serviceAccount: request.serviceAccount }),
      ...(request.secret !== undefined && { repositorySecret: request.secret }),
      keepSeconds: KEEP_SECONDS,
      volumes: [],
      volumeMounts: [],
    },
    context,
  );
}
