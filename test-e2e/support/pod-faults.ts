/** Faults inside a pod's own network and volumes, done from its node: they need a cluster whose nodes are containers of ours. */

import { labels } from '#crds/api/names.ts';
import { run } from '#hack/run.ts';
import { type Pod, Pods } from '#kernel/resources.ts';
import type { Fault } from './faults.ts';
import type { TestNamespace } from './namespace.ts';
import { eventually, getOrNone } from './wait.ts';

/** A fault that nobody undoes ends by itself after this long: a run that was killed leaves nothing cut. */
const longestSeconds = 180;

/** Runs on the node that a pod is on, with `$pid` being the first process of its container. */
async function besidePod(pod: Pod, container: string, script: string): Promise<string> {
  const id = pod.status?.containerStatuses
    ?.find(({ name }) => name === container)
    ?.containerID?.replace('containerd://', '');
  const node = pod.spec?.nodeName;
  if (!id || !node) throw new Error(`container ${container} of ${pod.metadata.name} does not run`);
  const pid = `pid=$(ctr --namespace k8s.io tasks list | awk '$1 == "${id}" {print $2}')`;
  return run('docker', ['exec', node, 'sh', '-c', `${pid}; ${script}`]);
}

async function membersOf(namespace: TestNamespace, shard: string): Promise<readonly Pod[]> {
  const pods = await namespace.list<Pod>(Pods, `${labels.shard}=${shard}`);
  return pods.filter(({ status }) => status?.podIP !== undefined);
}

function routes(verb: 'add' | 'del', addresses: readonly string[]): string {
  return addresses.map(address => `ip route ${verb} blackhole ${address}/32`).join('; ');
}

/**
 * No packet gets from a member of one shard to a member of the other. Clients, the operator, and members among themselves
 * reach each other as before.
 */
export async function cutBetween(namespace: TestNamespace, one: string, other: string): Promise<Fault> {
  const [left, right] = await Promise.all([membersOf(namespace, one), membersOf(namespace, other)]);
  const cuts = [...left.map(pod => ({ pod, peers: right })), ...right.map(pod => ({ pod, peers: left }))].map(
    ({ pod, peers }) => ({ pod, addresses: peers.map(({ status }) => status?.podIP ?? '') }),
  );
  await Promise.all(
    cuts.map(({ pod, addresses }) => {
      const later = `(sleep ${longestSeconds}; ${routes('del', addresses)}) >/dev/null 2>&1 &`;
      return besidePod(
        pod,
        'database',
        `nsenter -t $pid -n sh -c "set -e; ${routes('add', addresses)}; ${later}"`,
      );
    }),
  );
  return {
    async undo() {
      await Promise.all(cuts.map(({ pod, addresses }) => mend(namespace, pod, addresses)));
    },
  };
}

/** A container that was started again is still in the pod's network; a pod that was made anew has one of its own. */
async function mend(
  namespace: TestNamespace,
  { metadata }: Pod,
  addresses: readonly string[],
): Promise<void> {
  await eventually(`packets pass at ${metadata.name} again`, namespace.name, async () => {
    const now = await getOrNone(namespace.cluster, Pods, { namespace: namespace.name, name: metadata.name });
    if (now === undefined || now.metadata.uid !== metadata.uid) return true;
    await besidePod(now, 'database', `nsenter -t $pid -n sh -c "${routes('del', addresses)}; true"`);
    return true;
  });
}

const mountPath = '/var/lib/postgresql';

/**
 * Every member of these shards loses its processes and its volume at once, without being asked: nothing that was not in the object store
 * by then can get there any more. What the StatefulSets start again finds empty volumes.
 */
export async function destroyVolumes(namespace: TestNamespace, shards: readonly string[]): Promise<void> {
  const pods = (await Promise.all(shards.map(shard => membersOf(namespace, shard)))).flat();
  const hits = await Promise.all(
    pods.map(async pod => {
      const claim = pod.spec?.volumes?.find(({ name }) => name === 'data')?.persistentVolumeClaim?.claimName;
      if (!claim) throw new Error(`${pod.metadata.name} has no volume`);
      return { pod, path: await pathOf(namespace, claim) };
    }),
  );
  await Promise.all(
    hits.map(({ pod, path }) =>
      besidePod(pod, 'database', `kill -KILL $pid; rm -rf ${path}/* ${path}/.[!.]*`),
    ),
  );
}

/** Takes all free space of a member's volume, which must be one of its own: {@link smallVolumes}. */
export async function fillVolume(namespace: TestNamespace, pod: string): Promise<Fault> {
  const object = await namespace.get(Pods, pod);
  const root = `/proc/$pid/root${mountPath}`;
  const later = `(sleep ${longestSeconds}; rm -f ${root}/fill) >/dev/null 2>&1 &`;
  // Written until nothing is left: what is free can change while it is asked for.
  await besidePod(object, 'database', `cat /dev/zero > ${root}/fill; ${later}`);
  return {
    async undo() {
      const { spec, metadata } = await namespace.get(Pods, pod);
      const volume = spec?.volumes?.find(({ name }) => name === 'data')?.persistentVolumeClaim?.claimName;
      if (!spec?.nodeName || !volume) throw new Error(`${metadata.name} has no volume`);
      await run('docker', [
        'exec',
        spec.nodeName,
        'sh',
        '-c',
        `rm -f ${await pathOf(namespace, volume)}/fill`,
      ]);
    },
  };
}

/** Where the volume of a claim is on its node. */
async function pathOf(namespace: TestNamespace, claim: string): Promise<string> {
  const volume = await namespace.kubectl('get', 'pvc', claim, '--output=jsonpath={.spec.volumeName}');
  const path = '{.spec.local.path}{.spec.hostPath.path}';
  return namespace.kubectl('get', 'pv', volume, `--output=jsonpath=${path}`);
}

export interface SmallVolumes extends AsyncDisposable {
  /** For spec.storage. */
  readonly storage: { readonly storageClassName: string; readonly size: string };
}

/** Volumes in memory, `perNode` on each worker, for one fleet: small enough to be filled without harm to others. */
export async function smallVolumes(
  namespace: TestNamespace,
  perNode: number,
  sizeMi = 384,
): Promise<SmallVolumes> {
  const { cluster, name } = namespace;
  if (cluster.kindName === undefined) throw new Error('volumes can be made on nodes of ours only');
  const nodes = [`${cluster.kindName}-worker`, `${cluster.kindName}-worker2`];
  const storageClass = `small-${name}`;
  const volumes = nodes.flatMap(node =>
    Array.from({ length: perNode }, (_, index) => ({
      node,
      name: `${storageClass}-${node === nodes[0] ? 'a' : 'b'}${index}`,
    })),
  );
  await cluster.kube.apply(
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name: storageClass },
      provisioner: 'kubernetes.io/no-provisioner',
      volumeBindingMode: 'WaitForFirstConsumer',
    },
    { fieldManager: 'e2e' },
  );
  for (const { node, name: volume } of volumes) {
    const path = `/mnt/${volume}`;
    const mount = `mkdir -p ${path} && mount -t tmpfs -o size=${sizeMi}m,mode=0770,uid=999,gid=999 tmpfs ${path}`;
    await run('docker', ['exec', node, 'sh', '-c', mount]);
    const input = JSON.stringify({
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: volume },
      spec: {
        capacity: { storage: `${sizeMi}Mi` },
        accessModes: ['ReadWriteOnce'],
        persistentVolumeReclaimPolicy: 'Retain',
        storageClassName: storageClass,
        local: { path },
        nodeAffinity: {
          required: {
            nodeSelectorTerms: [
              { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] },
            ],
          },
        },
      },
    });
    await cluster.kubectl(['apply', '--filename=-'], { input });
  }
  return {
    storage: { storageClassName: storageClass, size: `${sizeMi}Mi` },
    async [Symbol.asyncDispose]() {
      for (const { node, name: volume } of volumes) {
        await cluster.kubectl(['delete', 'pv', volume, '--ignore-not-found', '--wait=false']);
        // A pod that is still ending holds it: it goes when that does.
        await run('docker', ['exec', node, 'sh', '-c', `umount --lazy /mnt/${volume}; rmdir /mnt/${volume}`]);
      }
      await cluster.kubectl(['delete', 'storageclass', storageClass, '--ignore-not-found']);
    },
  };
}
