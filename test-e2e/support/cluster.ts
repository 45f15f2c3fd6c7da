/** The cluster that the tests run on, and where the operator is on it. Found once for each worker. */
import { KubeConfig } from '@kubernetes/client-node';
import type { Cluster } from '#hack/cluster/ensure.ts';
import { run, tryRun } from '#hack/run.ts';
import { ensureTool } from '#hack/tools.ts';
import { kubeConfigFileAuth } from '#kernel/auth.ts';
import { KubeClient } from '#kernel/kube-client.ts';
import type { KubeObject } from '#kernel/object.ts';
import { type Deployment, Deployments } from '#kernel/resources.ts';
import { fleetResources } from './resources.ts';

export interface TestCluster {
  readonly kube: KubeClient;
  readonly kubeConfig: KubeConfig;
  readonly kubeconfigPath: string;
  /** kind's name of it: its nodes are containers that a test may pause. Undefined on a cluster that is not ours. */
  readonly kindName: string | undefined;
  kubectl(args: readonly string[], options?: { readonly input?: string }): Promise<string>;
  /** Whatever the exit code. */
  tryKubectl(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }>;
}

export interface Installation {
  readonly namespace: string;
  /** Name of the Deployment, of the ServiceAccount, and the first part of every other name. */
  readonly name: string;
  readonly image: string;
  readonly postgresImage: string;
}

let found: Promise<TestCluster> | undefined;
let installed: Promise<Installation> | undefined;

/** Every field manager of the tests is this one. */
export const fieldManager = 'e2e';

export function testCluster(): Promise<TestCluster> {
  found ??= fromVitest();
  return found;
}

async function fromVitest(): Promise<TestCluster> {
  // Benches use the same helpers without vitest, which cannot be loaded outside of a test run.
  const { inject } = await import('vitest');
  return openCluster(inject('cluster'));
}

/** For programs that are no tests: everything here works on this cluster from now on. */
export function useCluster(cluster: Cluster): Promise<TestCluster> {
  found = openCluster(cluster);
  return found;
}

async function openCluster(cluster: Cluster): Promise<TestCluster> {
  const kubectl = await ensureTool('kubectl');
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(cluster.kubeconfig);
  const env = { KUBECONFIG: cluster.kubeconfig };
  return {
    kube: new KubeClient({
      auth: await kubeConfigFileAuth(cluster.kubeconfig),
      resources: fleetResources,
      userAgent: 'shardwright-e2e',
    }),
    kubeConfig,
    kubeconfigPath: cluster.kubeconfig,
    kindName: cluster.kind ? cluster.name : undefined,
    kubectl: (args, options) => run(kubectl, args, { env, ...options }),
    tryKubectl: args => tryRun(kubectl, args, { env }),
  };
}

/** The operator that serves the tests, by the labels that its chart gives it. */
export function installation(): Promise<Installation> {
  installed ??= testCluster().then(({ kube }) => findInstallation(kube));
  return installed;
}

export async function findInstallation(kube: KubeClient): Promise<Installation> {
  const { items } = await kube.list<Deployment>(Deployments, {
    labelSelector: 'app.kubernetes.io/name=shardwright,app.kubernetes.io/component=operator',
  });
  const [deployment] = items.toSorted((a, b) => age(a).localeCompare(age(b)));
  const container = deployment?.spec?.template.spec?.containers[0];
  if (!deployment || !container) throw new Error('no Deployment of the operator: was the chart installed?');
  return {
    namespace: deployment.metadata.namespace ?? 'default',
    name: deployment.metadata.name,
    image: container.image ?? '',
    postgresImage: postgresImageOf(container),
  };
}

function postgresImageOf(container: { env?: { name: string; value?: string }[] }): string {
  const image = container.env?.find(({ name }) => name === 'POSTGRES_IMAGE')?.value;
  if (!image) throw new Error('the Deployment of the operator does not name the image of the members');
  return image;
}

function age(object: KubeObject): string {
  return object.metadata.creationTimestamp ?? '';
}
