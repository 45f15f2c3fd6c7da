/** A Shard as the API server would return it, for tests and experiments. */
import { parseShard, type Shard } from '#crds/api/shard.ts';

export function sampleShard(
  spec: Readonly<Record<string, unknown>> = {},
  { name = 'social-0', namespace = 'fleet' }: { name?: string; namespace?: string } = {},
): Shard {
  const cluster = name.replace(/-\d+$/, '');
  return parseShard({
    apiVersion: 'shardwright.io/v1alpha1',
    kind: 'Shard',
    metadata: { name, namespace },
    spec: {
      cluster: { name: cluster },
      ordinal: Number(name.slice(cluster.length + 1)),
      members: 2,
      engine: { type: 'postgresql', version: '17', database: 'social' },
      storage: { size: '1Gi' },
      secrets: {
        ca: `${cluster}-ca`,
        internal: `${cluster}-internal`,
        app: `${cluster}-app`,
        tls: `${name}-tls`,
      },
      sharding: {
        algorithm: 'hash',
        keyType: 'bigint',
        slots: 256,
        partition: { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 255 }] },
      },
      ...spec,
    },
  });
}
