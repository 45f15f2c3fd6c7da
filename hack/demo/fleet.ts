/** The demo's fleet: applies its manifest, waits for it, and connects the client library from outside the cluster. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import { z } from 'zod';
import { type Client, createClient } from '#client/index.ts';
import type { Cluster } from '#hack/cluster/ensure.ts';
import { repoDir } from '#hack/paths.ts';
import { detail, step } from '#hack/progress.ts';
import { run } from '#hack/run.ts';
import { SetupError } from '#hack/setup-error.ts';
import { ensureTool } from '#hack/tools.ts';
import { createPortForwardDial } from '#kernel/port-forward.ts';

export const namespace = 'default';
export const fleetName = 'social';
const manifest = join(repoDir, 'manifests/samples/social.yaml');
const readyWithinMs = 10 * 60_000;
const lookEveryMs = 500;

export type Kubectl = (args: readonly string[], input?: string) => Promise<string>;

export async function kubectlFor(cluster: Cluster): Promise<Kubectl> {
  const kubectl = await ensureTool('kubectl');
  return (args, input) =>
    run(
      kubectl,
      [`--kubeconfig=${cluster.kubeconfig}`, `--namespace=${namespace}`, ...args],
      input === undefined ? {} : { input },
    );
}

const statusOf = z.object({
  metadata: z.object({ generation: z.int() }),
  spec: z.object({ shards: z.int() }),
  status: z
    .object({
      observedGeneration: z.int().optional(),
      conditions: z
        .array(z.object({ type: z.string(), status: z.string(), message: z.string().optional() }))
        .default([]),
    })
    .optional(),
});

const shardsOf = z.object({
  items: z.array(
    z.object({
      status: z
        .object({ conditions: z.array(z.object({ type: z.string(), status: z.string() })).default([]) })
        .optional(),
    }),
  ),
});

/** Applies the sample and waits until every shard is Ready. Quick when the fleet is there already. */
export async function ensureFleet(kubectl: Kubectl): Promise<void> {
  await step('kubectl apply -f manifests/samples/social.yaml', async () => {
    const present = await kubectl(['get', 'shardcluster', fleetName, '--ignore-not-found', '--output=json']);
    const shards = present === '' ? 0 : statusOf.parse(JSON.parse(present)).spec.shards;
    const text = await readFile(manifest, 'utf8');
    // Shards that an earlier run has added stay: they own something.
    const kept = text.replace(/^( {2}shards: )(\d+)$/m, (_, field: string, count: string) => {
      return `${field}${Math.max(shards, Number(count))}`;
    });
    await kubectl(['apply', '--filename=-'], kept);
  });
  await step(`wait until ${fleetName} is Ready`, () => awaitFleet(kubectl));
}

export async function awaitFleet(kubectl: Kubectl): Promise<void> {
  const startedMs = performance.now();
  for (;;) {
    const fleet = statusOf.parse(
      JSON.parse(await kubectl(['get', 'shardcluster', fleetName, '--output=json'])),
    );
    const conditions = fleet.status?.conditions ?? [];
    const stalled = conditions.find(each => each.type === 'Stalled' && each.status === 'True');
    if (stalled !== undefined) throw notReady(`it is stalled: ${stalled.message ?? 'no reason given'}`);
    const current = fleet.status?.observedGeneration === fleet.metadata.generation;
    if (current && isTrue(conditions, 'Ready')) return;
    const selector = `--selector=shardwright.io/cluster=${fleetName}`;
    const { items } = shardsOf.parse(JSON.parse(await kubectl(['get', 'shards', selector, '--output=json'])));
    const ready = items.filter(shard => isTrue(shard.status?.conditions ?? [], 'Ready')).length;
    detail(`${ready} of ${fleet.spec.shards} shards are ready`);
    if (performance.now() - startedMs > readyWithinMs) throw notReady('it was not Ready within 10 minutes');
    await new Promise(resolve => setTimeout(resolve, lookEveryMs));
  }
}

/** As an application would, but through port-forward streams. */
export async function connect(cluster: Cluster): Promise<Client> {
  const config = new KubeConfig();
  config.loadFromFile(cluster.kubeconfig);
  const secret = await config
    .makeApiClient(CoreV1Api)
    .readNamespacedSecret({ name: `${fleetName}-app`, namespace });
  const value = (key: string) => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
  return createClient({
    map: { url: value('map-url'), token: value('map-token'), ca: value('map-ca.crt') },
    database: value('database'),
    credentials: {
      password: value('password'),
      referencePassword: value('reference-password'),
      ca: value('ca.crt'),
    },
    dial: createPortForwardDial(config, namespace),
    // The first streams of a cluster that has just started are slow.
    timeouts: { connectMs: 20_000, callMs: 120_000 },
  });
}

function isTrue(
  conditions: readonly { readonly type: string; readonly status: string }[],
  type: string,
): boolean {
  return conditions.some(each => each.type === type && each.status === 'True');
}

function notReady(why: string): SetupError {
  return new SetupError(
    'FleetNotReady',
    `the fleet ${fleetName} does not become Ready: ${why}`,
    `Look at it: kubectl describe shardcluster ${fleetName}; kubectl get shards,pods`,
  );
}
