/**
 * The floor: the objects that the operator made, as they are in the API, created once more in another namespace by a loop
 * that does nothing else, over ten connections.
 */
import { madeResources, ownResources } from '#controllers/caches.ts';
import { labels } from '#crds/api/names.ts';
import type { Authenticator } from '#kernel/auth.ts';
import { KubeClient } from '#kernel/kube-client.ts';
import type { KubeObject } from '#kernel/object.ts';

const CONNECTIONS = 10;

/** What the operator made in the namespace; events, which are news and not objects of a fleet, are left out. */
export async function objectsOf(client: KubeClient, namespace: string): Promise<readonly KubeObject[]> {
  const scope = { namespace, labelSelector: `${labels.managedBy}=${labels.managedByValue}` };
  const lists = await Promise.all(madeResources.map(resource => client.list<KubeObject>(resource, scope)));
  return lists.flatMap(({ items }, i) =>
    items.map(item => ({
      ...item,
      apiVersion: madeResources[i]?.apiVersion ?? '',
      kind: madeResources[i]?.kind ?? '',
    })),
  );
}

/** Creates them in the namespace. Resolves with the seconds that it took. */
export async function createAll(
  auth: Authenticator,
  objects: readonly KubeObject[],
  namespace: string,
): Promise<number> {
  const client = new KubeClient({
    auth,
    resources: ownResources,
    maxConnections: CONNECTIONS,
    onWarning: () => {},
  });
  const fresh = objects.map(object => asNew(object, namespace));
  let next = 0;
  const work = async (): Promise<void> => {
    for (let object = fresh[next++]; object; object = fresh[next++]) await client.create(object);
  };
  const startedAt = performance.now();
  try {
    await Promise.all(Array.from({ length: CONNECTIONS }, work));
    return (performance.now() - startedAt) / 1000;
  } finally {
    client.close();
  }
}

/** Without what the server fills in, and what others wrote. */
function asNew({ apiVersion, kind, metadata, ...rest }: KubeObject, namespace: string): KubeObject {
  const { name, labels: labelled, annotations, ownerReferences } = metadata;
  const { status: _, ...body } = rest;
  const { clusterIP, clusterIPs: _ips, ...spec } = fields(body['spec']);
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      namespace,
      ...(labelled ? { labels: labelled } : {}),
      ...(annotations ? { annotations } : {}),
      ...(ownerReferences ? { ownerReferences } : {}),
    },
    ...body,
    ...('spec' in body ? { spec: clusterIP === 'None' ? { ...spec, clusterIP } : spec } : {}),
  };
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
