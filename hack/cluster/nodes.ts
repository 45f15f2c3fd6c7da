/** What a cluster's own nodes say of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { setupHash, setupLabel } from '#hack/cluster/kind-config.ts';
import { detail } from '#hack/progress.ts';
import { tryRun } from '#hack/run.ts';
import { ensureTool } from '#hack/tools.ts';

const nodeList = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ labels: z.record(z.string(), z.string()) }),
      status: z.object({
        conditions: z.array(z.object({ type: z.string(), status: z.string() })).default([]),
      }),
    }),
  ),
});

/**
 * `silent`: no API server answers. `foreign`: it does, with settings other than today's. `starting`: not every node is
 * ready. `ready`: the cluster can be used.
 */
export type ClusterHealth = 'silent' | 'foreign' | 'starting' | 'ready';

const kindNodes = 3;

export async function clusterHealth(kubeconfig: string): Promise<ClusterHealth> {
  const kubectl = await ensureTool('kubectl');
  const asked = await tryRun(
    kubectl,
    [`--kubeconfig=${kubeconfig}`, 'get', 'nodes', '--output=json', '--request-timeout=5s'],
    { quiet: true },
  );
  if (asked.code !== 0) return 'silent';
  const { items } = nodeList.parse(JSON.parse(asked.stdout));
  const setups = items.map(node => node.metadata.labels[setupLabel]).filter(label => label !== undefined);
  if (setups[0] !== setupHash()) return 'foreign';
  const ready = items.filter(node =>
    node.status.conditions.some(c => c.type === 'Ready' && c.status === 'True'),
  );
  return items.length === kindNodes && ready.length === kindNodes ? 'ready' : 'starting';
}

/** Waits until the cluster is ready; gives up early on one that stays silent. Returns the last state seen. */
export async function awaitHealth(
  kubeconfig: string,
  limits: { readonly silentMs: number; readonly startingMs: number },
): Promise<ClusterHealth> {
  const started = performance.now();
  for (;;) {
    const health = await clusterHealth(kubeconfig);
    detail(health);
    const waitedMs = performance.now() - started;
    if (health === 'ready' || health === 'foreign') return health;
    if (waitedMs > (health === 'silent' ? limits.silentMs : limits.startingMs)) return health;
    await sleep(1_000);
  }
}
