/** The StatefulSet: all members start at once, and nothing but the operator decides when one of them is renewed. */
import { labels, shardChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { RenderContext } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';
import { child, labelsOf, namespaceOf } from './object.ts';
import { podSpec } from './pod.ts';

export function statefulSet(shard: Shard, context: RenderContext): KubeObject {
  const { name } = shard.metadata;
  const { deletionPolicy, members } = shard.spec;
  const retention = deletionPolicy === 'Delete' ? 'Delete' : 'Retain';
  return child(shard, 'apps/v1', 'StatefulSet', name, {
    spec: {
      serviceName: shardChildren.headlessService(name),
      replicas: members,
      podManagementPolicy: 'Parallel',
      // A renewal goes replica by replica and ends with a switchover; the StatefulSet knows no roles.
      updateStrategy: { type: 'OnDelete' },
      revisionHistoryLimit: 3,
      persistentVolumeClaimRetentionPolicy: { whenDeleted: retention, whenScaled: retention },
      selector: { matchLabels: { [labels.shard]: name } },
      template: { metadata: { labels: labelsOf(shard) }, spec: podSpec(shard, context) },
      volumeClaimTemplates: [claim(shard, 'data')],
    },
  });
}

/** The claim of the first member's volume, for whoever fills it before there is a member. */
export function firstClaim(shard: Shard): KubeObject {
  const { kind, apiVersion, metadata, spec } = claim(shard, `data-${shard.metadata.name}-0`);
  return { apiVersion, kind, metadata: { ...metadata, namespace: namespaceOf(shard) }, spec };
}

function claim(shard: Shard, name: string) {
  const { storage } = shard.spec;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, labels: labelsOf(shard) },
    spec: {
      accessModes: [...storage.accessModes],
      resources: { requests: { storage: storage.size } },
      ...(storage.storageClassName !== undefined && { storageClassName: storage.storageClassName }),
      volumeMode: 'Filesystem',
    },
  } as const;
}
