/** A backup as a Job: reads the members' files through pgBackRest's servers there, and writes to the store itself. */
import { shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { BackupRequest } from '#engines/backup.ts';
import type { RenderContext } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';
import { paths, ports } from '../names.ts';
import { namespaceOf } from '../object.ts';
import { certificateVolume } from '../pod.ts';
import { about } from '../recovery/about.ts';
import { taskJob } from './job.ts';

export function backupJob(shard: Shard, request: BackupRequest, context: RenderContext): KubeObject {
  return taskJob(
    shard,
    {
      kind: 'backup',
      name: shardChildren.backupJob(shard.metadata.name),
      request,
      input: backupInput(shard, request),
      // It passes data through; a member's own resources are for a database.
      resources: {},
      volumes: [certificateVolume(shard)],
      volumeMounts: [{ name: 'tls', mountPath: paths.certificates, readOnly: true }],
    },
    context,
  );
}

/** What images/postgres/backup.py reads. */
export function backupInput(shard: Shard, request: BackupRequest): Record<string, unknown> {
  const { type, expire, primary, replica } = request;
  return {
    type,
    expire,
    // The primary first. Their names are in the shard's certificate, which both sides show.
    hosts: [primary, ...(replica === undefined ? [] : [replica])].map(pod => memberHost(shard, pod)),
    port: ports.backup,
    about: about(shard),
  };
}

function memberHost(shard: Shard, pod: string): string {
  return `${pod}.${shardChildren.headlessService(shard.metadata.name)}.${namespaceOf(shard)}.svc`;
}
