/**
 * The content of spec.schema's ConfigMaps. They are a person's, without a label of ours, so they are looked at by name every
 * so often instead of watching every ConfigMap of the cluster.
 */

import { readSchema } from '#controllers/schema-files.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { canonicalJson } from '#kernel/canonical.ts';
import type { Clock } from '#kernel/clock.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { SchemaFacts } from './facts.ts';

export const SCHEMA_EVERY_MS = 10_000;

export class SchemaWatch {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #known = new Map<
    string,
    { readonly at: number; readonly of: string; readonly facts: SchemaFacts }
  >();

  constructor(options: { readonly client: KubeClient; readonly clock: Clock }) {
    this.#client = options.client;
    this.#clock = options.clock;
  }

  /** Never older than {@link SCHEMA_EVERY_MS}. */
  async look(cluster: ShardCluster, signal: AbortSignal): Promise<SchemaFacts> {
    const { spec, metadata } = cluster;
    if (!spec.schema || spec.schema.configMaps.length === 0) return { kind: 'None' };
    const namespace = metadata.namespace ?? '';
    const key = `${namespace}/${metadata.name}`;
    const of = canonicalJson([metadata.uid, spec.schema]);
    const now = this.#clock.monotonicMs();
    const known = this.#known.get(key);
    // A bit less than the interval, so that the look that the last one asked for is not answered from memory.
    if (known && known.of === of && now - known.at < SCHEMA_EVERY_MS * 0.9) return known.facts;
    const read = await readSchema(this.#client, namespace, spec.schema.configMaps, signal);
    const facts: SchemaFacts =
      read.kind === 'Files'
        ? { kind: 'Present', hash: read.hash }
        : { kind: 'Missing', message: read.message };
    this.#known.set(key, { at: now, of, facts });
    return facts;
  }

  forget(namespace: string, name: string): void {
    this.#known.delete(`${namespace}/${name}`);
  }
}
