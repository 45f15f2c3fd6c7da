/** ConfigMaps in memory, with the compare-and-swap of an API server: what the real MapStore writes to in tests of other things. */
import type { Caches } from '#controllers/caches.ts';
import { byCluster, indexKey } from '#controllers/caches.ts';
import { labels } from '#crds/api/names.ts';
import { AlreadyExistsError, ConflictError, NotFoundError } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { formatKey, keyOf, type ObjectKey } from '#kernel/object.ts';
import type { ConfigMap } from '#kernel/resources.ts';

const request = { verb: 'write', path: '/configmaps' };

export class MemoryConfigMaps {
  readonly #objects = new Map<string, ConfigMap>();
  #version = 1;
  /** Called before each write; throws to end it there. */
  onWrite: (name: string) => void = () => undefined;

  /** What MapStore needs of a client. */
  client(): KubeClient {
    const create = async (object: ConfigMap) => this.#write(object, true);
    const replace = async (object: ConfigMap) => this.#write(object, false);
    const get = async (_resource: unknown, key: ObjectKey) => {
      const found = this.#objects.get(formatKey(key));
      if (!found) throw new NotFoundError(404, {}, request);
      return found;
    };
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the three verbs that are used
    return { create, replace, get } as unknown as KubeClient;
  }

  cache(): Pick<Caches['configMaps'], 'byIndex'> {
    return {
      byIndex: (index, value) =>
        [...this.#objects.values()].filter(
          ({ metadata }) =>
            index === byCluster &&
            indexKey(metadata.namespace, metadata.labels?.[labels.cluster] ?? '') === value,
        ),
    };
  }

  #write(object: ConfigMap, creates: boolean): ConfigMap {
    const key = keyOf(object);
    this.onWrite(object.metadata.name);
    const old = this.#objects.get(key);
    if (creates && old) throw new AlreadyExistsError(409, { message: key }, request);
    if (!creates && !old) throw new NotFoundError(404, { message: key }, request);
    if (!creates && object.metadata.resourceVersion !== old?.metadata.resourceVersion) {
      throw new ConflictError(409, { message: `${key} has changed` }, request);
    }
    const written = {
      ...object,
      metadata: {
        ...object.metadata,
        uid: old?.metadata.uid ?? `uid-${object.metadata.name}`,
        resourceVersion: String(++this.#version),
      },
    };
    this.#objects.set(key, written);
    return written;
  }
}
