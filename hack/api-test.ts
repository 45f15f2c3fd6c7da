/**
 * What an api test needs: a client with all rights and a namespace of its own.
 *
 *     const api = await apiTest();              // at the top of the file, or in beforeAll
 *     await api.installCrds();                  // crds/*.yaml, once per server; safe from several files at once
 *     await api.client.create({apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'a', namespace: api.namespace}});
 *
 * Namespaces are left behind: the server goes away with its data.
 */
import { randomBytes } from 'node:crypto';
import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inject, onTestFinished } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { type ApiServerAccess, accessAuth } from '#hack/local-apiserver.ts';
import { NotFoundError } from '#kernel/errors.ts';
import { KubeClient, type KubeClientOptions } from '#kernel/kube-client.ts';
import { defineResource, type Resource } from '#kernel/resource.ts';
import { type CustomResourceDefinition, CustomResourceDefinitions } from '#kernel/resources.ts';

export interface ApiTest {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly access: ApiServerAccess;
  createNamespace(labels?: Record<string, string>): Promise<string>;
  /** Applies every CRD of crds/ and waits until its objects can be created. */
  installCrds(): Promise<void>;
  /** Another client of the same server; closed when the test that calls ends. */
  newClient(options?: Partial<KubeClientOptions>): KubeClient;
}

export async function apiTest(options: Partial<KubeClientOptions> = {}): Promise<ApiTest> {
  const access = inject('apiServer');
  const client = new KubeClient({ auth: accessAuth(access), ...options });
  const createNamespace = async (labels: Record<string, string> = {}) => {
    const name = `test-${randomBytes(4).toString('hex')}`;
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
    return name;
  };
  return {
    client,
    access,
    createNamespace,
    namespace: await createNamespace(),
    installCrds: () => installCrds(client, join(import.meta.dirname, '..', 'crds')),
    newClient(more = {}) {
      const another = new KubeClient({ auth: accessAuth(access), ...options, ...more });
      onTestFinished(() => another.close());
      return another;
    },
  };
}

const establishedWithinMs = 30_000;

/** Applies the CRDs in a folder's YAML files; returns once the API server serves them. */
export async function installCrds(client: KubeClient, dir: string): Promise<void> {
  const crds: CustomResourceDefinition[] = [];
  for await (const file of glob('*.yaml', { cwd: dir })) {
    for (const document of parseAllDocuments(await readFile(join(dir, file), 'utf8'))) {
      const object: CustomResourceDefinition | null = document.toJS();
      if (object?.kind === CustomResourceDefinitions.kind) crds.push(object);
    }
  }
  if (crds.length === 0) throw new Error(`no CRD in ${dir}/*.yaml`);
  await Promise.all(crds.map(crd => client.apply(crd, { fieldManager: 'api-test', force: true })));
  await Promise.all(crds.map(crd => served(client, crd)));
}

async function served(client: KubeClient, crd: CustomResourceDefinition): Promise<void> {
  const { spec } = crd;
  const resources = spec.versions.map(
    (version): Resource =>
      defineResource({
        apiVersion: `${spec.group}/${version.name}`,
        kind: spec.names.kind,
        plural: spec.names.plural,
        namespaced: spec.scope === 'Namespaced',
      }),
  );
  for (const deadline = Date.now() + establishedWithinMs; ; ) {
    const live = await client.get(CustomResourceDefinitions, crd.metadata);
    const conditions = live.status?.conditions ?? [];
    if (conditions.some(({ type, status }) => type === 'Established' && status === 'True')) {
      try {
        await Promise.all(resources.map(resource => client.list(resource)));
        return;
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
      }
    }
    if (Date.now() > deadline) {
      throw new Error(`${crd.metadata.name} is not served: ${JSON.stringify(conditions)}`);
    }
    await sleep(50);
  }
}

/** Polls until `read` gives something other than undefined. For what the API server does in its own time. */
export async function eventually<T>(
  read: () => T | undefined | Promise<T | undefined>,
  withinMs = 30_000,
): Promise<T> {
  for (const deadline = Date.now() + withinMs; ; ) {
    const value = await read();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(`nothing within ${withinMs} ms`);
    await sleep(20);
  }
}
