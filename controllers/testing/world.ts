/**
 * What happens in a cluster around the operator, where there is an API server and nothing else: the StatefulSet controller
 * makes pods and claims, kubelets make them ready, Patroni elects a leader and tells of its standby. Just enough of each for
 * the controllers to find the facts that they act on.
 */
import { labels } from '#crds/api/names.ts';
import { digest } from '#kernel/canonical.ts';
import type { Clock } from '#kernel/clock.ts';
import { Controller } from '#kernel/controller.ts';
import { AlreadyExistsError, ConflictError, orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { silentLog } from '#kernel/log.ts';
import type { KubeObject } from '#kernel/object.ts';
import { Reflector } from '#kernel/reflector.ts';
import {
  type Endpoints,
  EndpointsObjects,
  type PersistentVolumeClaim,
  type Pod,
  Pods,
  type StatefulSet,
  StatefulSets,
} from '#kernel/resources.ts';
import { toLabel, watching } from '#kernel/source.ts';

export interface WorldOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly clock?: Clock;
}

export class World {
  readonly #client: KubeClient;
  readonly #namespace: string;
  readonly #statefulSets: Reflector<StatefulSet>;
  readonly #pods: Reflector<Pod>;
  readonly #endpoints: Reflector<Endpoints>;
  readonly #controller: Controller;
  /** Pods that are kept from becoming ready. */
  readonly broken = new Set<string>();
  /** Shards whose members hold no election for now. */
  readonly frozen = new Set<string>();
  /** Leaders that were chosen by a switchover. */
  readonly #chosen = new Map<string, string>();

  constructor({ client, namespace }: WorldOptions) {
    this.#client = client;
    this.#namespace = namespace;
    const shared = { client, namespaces: [namespace], log: silentLog };
    this.#statefulSets = new Reflector({ ...shared, resource: StatefulSets });
    this.#pods = new Reflector({
      ...shared,
      resource: Pods,
      indexes: { shard: pod => [pod.metadata.labels?.[labels.shard] ?? ''] },
    });
    this.#endpoints = new Reflector({ ...shared, resource: EndpointsObjects });
    this.#controller = new Controller({
      name: 'world',
      log: silentLog,
      backoff: { baseMs: 20, maxMs: 500 },
      sources: [
        watching({ reflector: this.#statefulSets, map: toLabel(labels.shard) }),
        watching({ reflector: this.#pods, map: toLabel(labels.shard) }),
        watching({ reflector: this.#endpoints, map: toLabel(labels.shard) }),
      ],
      reconcile: ({ name }) => this.#turn(name),
    });
  }

  async run(stop: AbortSignal): Promise<void> {
    const caches = Promise.all([
      this.#statefulSets.run(stop),
      this.#pods.run(stop),
      this.#endpoints.run(stop),
    ]);
    await this.#controller.run({ stop, graceMs: 1000 });
    await caches;
  }

  /** As Patroni does it: the lock and the labels change, the old leader becomes a replica. */
  async switchover(shard: string, to: string): Promise<void> {
    this.#chosen.set(shard, to);
    await this.#elect(shard);
  }

  async #turn(shard: string): Promise<void> {
    const set = await orUndefined(this.#client.get(StatefulSets, this.#key(shard)));
    if (!set || set.metadata.deletionTimestamp) return;
    const revision = digest(set.spec?.template).slice(0, 10);
    const replicas = set.spec?.replicas ?? 0;
    await this.#patchStatus(set, {
      observedGeneration: set.metadata.generation,
      replicas,
      updateRevision: revision,
    });
    for (let i = 0; i < replicas; i++) await this.#ensureMember(set, i, revision);
    for (const pod of this.#pods.byIndex('shard', shard)) {
      if (Number(/\d+$/.exec(pod.metadata.name)?.[0]) >= replicas) {
        await orUndefined(this.#client.delete(Pods, pod.metadata, { gracePeriodSeconds: 0 }));
      }
    }
    await this.#elect(shard);
  }

  async #ensureMember(set: StatefulSet, ordinal: number, revision: string): Promise<void> {
    const name = `${set.metadata.name}-${ordinal}`;
    for (const template of set.spec?.volumeClaimTemplates ?? []) {
      const claim: PersistentVolumeClaim = {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: {
          ...this.#key(`${template.metadata?.name ?? 'data'}-${name}`),
          labels: { ...template.metadata?.labels },
        },
        ...(template.spec ? { spec: template.spec } : {}),
      };
      await this.#createIfMissing(claim);
    }
    const spec = set.spec?.template.spec;
    const claimed = (set.spec?.volumeClaimTemplates ?? []).map(({ metadata }) => {
      const volume = metadata?.name ?? 'data';
      return { name: volume, persistentVolumeClaim: { claimName: `${volume}-${name}` } };
    });
    const pod: Pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        ...this.#key(name),
        labels: { ...set.spec?.template.metadata?.labels, 'controller-revision-hash': revision },
      },
      ...(spec ? { spec: { ...spec, volumes: [...(spec.volumes ?? []), ...claimed] } } : {}),
    };
    await this.#createIfMissing(pod);
    const live = await orUndefined(this.#client.get(Pods, pod.metadata));
    const ready = this.broken.has(name) ? 'False' : 'True';
    if (live && live.status?.conditions?.find(({ type }) => type === 'Ready')?.status !== ready) {
      await this.#patchStatus(live, {
        phase: 'Running',
        podIP: '10.0.0.1',
        podIPs: [{ ip: '10.0.0.1' }],
        conditions: [{ type: 'Ready', status: ready }],
      });
    }
  }

  async #elect(shard: string): Promise<void> {
    if (this.frozen.has(shard)) return;
    const { items } = await this.#client.list(Pods, {
      namespace: this.#namespace,
      labelSelector: `${labels.shard}=${shard}`,
    });
    const able = items
      .filter(pod => !pod.metadata.deletionTimestamp && !this.broken.has(pod.metadata.name))
      .map(pod => pod.metadata.name);
    const lock = await orUndefined(this.#client.get(EndpointsObjects, this.#key(shard)));
    if (!lock || able.length === 0) return;
    const holder = this.#chosen.get(shard) ?? lock.metadata.annotations?.['leader'] ?? '';
    const leader = able.includes(holder) ? holder : (able[0] ?? '');
    const standby = able.find(name => name !== leader) ?? '';
    await this.#annotate(EndpointsObjects, shard, { leader });
    await this.#annotate(EndpointsObjects, `${shard}-sync`, { leader, sync_standby: standby });
    for (const pod of items) {
      const role = pod.metadata.name === leader ? 'primary' : 'replica';
      if (pod.metadata.labels?.['shardwright.io/role'] === role) continue;
      const body = { metadata: { labels: { 'shardwright.io/role': role } } };
      await orUndefined(this.#client.patch(Pods, pod.metadata, { type: 'merge', body }));
    }
  }

  async #annotate(
    resource: typeof EndpointsObjects,
    name: string,
    annotations: Record<string, string>,
  ): Promise<void> {
    const live = await orUndefined(this.#client.get(resource, this.#key(name)));
    if (
      !live ||
      Object.entries(annotations).every(([key, value]) => live.metadata.annotations?.[key] === value)
    )
      return;
    await orUndefined(
      this.#client.patch(resource, this.#key(name), { type: 'merge', body: { metadata: { annotations } } }),
    );
  }

  async #patchStatus(object: KubeObject, status: Readonly<Record<string, unknown>>): Promise<void> {
    const current: unknown = object['status'];
    if (Object.entries(status).every(([key, value]) => digest(fieldOf(current, key)) === digest(value)))
      return;
    const resource = this.#client.catalog.of(object);
    await orUndefined(
      this.#client.patch(
        resource,
        object.metadata,
        { type: 'merge', body: { status } },
        { subresource: 'status' },
      ),
    );
  }

  async #createIfMissing(object: KubeObject): Promise<void> {
    if (await orUndefined(this.#client.get(this.#client.catalog.of(object), object.metadata))) return;
    try {
      await this.#client.create(object);
    } catch (error) {
      if (!(error instanceof AlreadyExistsError) && !(error instanceof ConflictError)) throw error;
    }
  }

  #key(name: string): { readonly namespace: string; readonly name: string } {
    return { namespace: this.#namespace, name };
  }
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (Reflect.get(value, key) ?? null) : null;
}
