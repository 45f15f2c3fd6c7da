/**
 * A shard brought back as a Job: it fills the volume that the shard's first member will find. It knows no password and no
 * certificate of either fleet.
 */
import type { Shard } from '#crds/api/shard.ts';
import type { RenderContext } from '#engines/engine.ts';
import type { RecoverRequest } from '#engines/recovery.ts';
import type { KubeObject } from '#kernel/object.ts';
import { databaseVolumes, taskJob } from '../backup/job.ts';
import { foundStatement, knownStatement, prepareStatements } from './recovered-sql.ts';

/** All shards of a fleet are waited for. */
export const KEEP_SECONDS = 30 * 86_400;

export function recoverJob(shard: Shard, request: RecoverRequest, context: RenderContext): KubeObject {
  return taskJob(
    shard,
    {
      kind: 'recover',
      name: request.job,
      request,
      input: recoverInput(shard, request),
      resources: shard.spec.resources,
      ...(request.serviceAccount !== undefined && { serviceAccount: request.serviceAccount }),
      ...(request.secret !== undefined && { repositorySecret: request.secret }),
      keepSeconds: KEEP_SECONDS,
      spread: true,
      ...databaseVolumes({ persistentVolumeClaim: { claimName: request.claim } }),
    },
    context,
  );
}

/** What images/postgres/recover.py reads. */
function recoverInput(shard: Shard, request: RecoverRequest): Record<string, unknown> {
  const { path, stanza, targetTime, fleet, replaced } = request;
  return {
    ...(path !== undefined && { path }),
    ...(replaced !== undefined && { replaced }),
    stanza,
    fleet,
    ...(targetTime !== undefined && { targetTime }),
    database: shard.spec.engine.database,
    known: knownStatement,
    found: foundStatement,
    prepare: prepareStatements,
  };
}
