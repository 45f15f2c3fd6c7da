/**
 * Tells shards where their backups go: one Secret each, which their members mount where it is there. It is owned by the Shard,
 * and goes when the fleet is under no policy any more. Once it has changed, each member's pod is told so by an annotation: the
 * kubelet renews what is mounted when a pod changes, else only within a minute or two. Whoever is killed between the two finds
 * pods that were told of another version.
 */
import { byShard, indexKey } from '#controllers/caches.ts';
import { durationMs } from '#controllers/duration.ts';
import { encodeFields } from '#controllers/secrets/secret-reader.ts';
import { severalAtOnce } from '#controllers/several-at-once.ts';
import { annotations, shardChildren, shardLabels } from '#crds/api/names.ts';
import { digest } from '#kernel/canonical.ts';
import { type KubeObject, keyOf } from '#kernel/object.ts';
import { ownedBy } from '#kernel/owner.ts';
import { Secrets } from '#kernel/resources.ts';
import type { BackupDeps } from './deps.ts';
import type { ShardView } from './facts.ts';
import type { Gathered } from './gather.ts';
import { destinationOf, repositoryOf } from './repositories.ts';
import { offsetMs } from './timetable.ts';

const AT_ONCE = 8;

/** Writes what is not known to be there. Nothing, while the plan of the policy is refused. Throws KubeError. */
export async function bindShards(deps: BackupDeps, facts: Gathered, signal: AbortSignal): Promise<void> {
  if (facts.problems.some(({ plan }) => plan)) return;
  const versions = new Map(facts.destinations.map(each => [each, digest(each)]));
  const rpoSeconds = durationMs(facts.policy.spec.objectives.rpo) / 1000;
  const wanted = facts.shards.flatMap(view => {
    const found = destinationOf(view.shard, facts.destinations);
    if (!found?.secrets || view.place === undefined) return [];
    const { uid, generation } = view.shard.metadata;
    const version = [versions.get(found), view.place, rpoSeconds, uid, generation].join('/');
    return deps.memory.hasSecret(keyOf(view.raw), version) ? [] : [{ view, found, version }];
  });
  await severalAtOnce(wanted, AT_ONCE, async ({ view, found, version }) => {
    const { shard, place } = view;
    const namespace = shard.metadata.namespace ?? '';
    const cluster = deps.caches.shardClusters.get({ namespace, name: shard.spec.cluster.name });
    const repository = cluster && repositoryOf(shard, cluster, found);
    const engine = deps.backups(shard);
    if (!repository || !engine) return;
    const meter = { rpoSeconds, version: `${place}.${rpoSeconds}` };
    const files = engine.repositoryFiles(shard, repository, meter);
    deps.onWrite?.(`bind ${shard.metadata.name}`);
    const written = await deps.objects.applySecret(secretOf(view, files), signal);
    await tellPods(deps, view, written, signal);
    deps.memory.keepSecret(keyOf(view.raw), version, offsetMs(shard.metadata.name, 1000) / 1000);
  });
}

async function tellPods(
  { caches, objects, onWrite }: BackupDeps,
  { shard }: ShardView,
  version: string,
  signal: AbortSignal,
): Promise<void> {
  const { name, namespace } = shard.metadata;
  for (const pod of caches.pods.byIndex(byShard, indexKey(namespace, name))) {
    if (pod.metadata.annotations?.[annotations.backupSecret] === version) continue;
    onWrite?.(`tell ${pod.metadata.name} of its Secret`);
    await objects.annotatePod(pod, annotations.backupSecret, version, signal);
  }
}

function secretOf({ raw, shard }: ShardView, files: Readonly<Record<string, string>>): KubeObject {
  const { name, namespace = '' } = shard.metadata;
  const secret: KubeObject = {
    apiVersion: Secrets.apiVersion,
    kind: Secrets.kind,
    metadata: {
      name: shardChildren.backupSecret(name),
      namespace,
      labels: shardLabels(shard.spec.cluster.name, name),
    },
    type: 'Opaque',
    data: encodeFields(files),
  };
  return ownedBy(secret, raw);
}
