/** A real S3 server in a test's namespace, which can be stopped, locked and damaged. */
import { Buffer } from 'node:buffer';
import type { BackupDestination } from '#crds/api/backup/destination.ts';
import {
  newCredentials,
  objectStoreEndpoint,
  objectStoreSecrets,
  objectStoreServer,
} from '#hack/object-store/objects.ts';
import { Deployments, Pods, Secrets } from '#kernel/resources.ts';
import type { TestNamespace } from './namespace.ts';

const name = 'objects';
const bucket = 'backups';

export interface StoredObject {
  readonly path: string;
  readonly bytes: number;
}

export class NamespaceObjectStore {
  readonly #namespace: TestNamespace;

  constructor(namespace: TestNamespace) {
    this.#namespace = namespace;
  }

  /** What a BackupPolicy writes for it. */
  get s3(): BackupDestination['s3'] {
    return {
      endpoint: objectStoreEndpoint({ name, namespace: this.#namespace.name }),
      bucket,
      prefix: 'fleets',
      region: 'us-east-1',
      credentials: { secretName: `${name}-credentials` },
      ca: { secretName: `${name}-ca`, key: 'ca.crt' },
    };
  }

  /** Paths below the bucket, sorted. */
  async list(folder = ''): Promise<readonly string[]> {
    return (await this.objects(folder)).map(({ path }) => path);
  }

  /** The same with their sizes. */
  async objects(folder = ''): Promise<readonly StoredObject[]> {
    const lines = await this.#shell(
      `cd /data/${bucket} && find . -type f -path './${folder}*' -printf '%s %P\\n'`,
    );
    return lines
      .split('\n')
      .filter(line => line !== '')
      .map(line => {
        const space = line.indexOf(' ');
        return { path: line.slice(space + 1), bytes: Number(line.slice(0, space)) };
      })
      .toSorted((a, b) => (a.path < b.path ? -1 : 1));
  }

  async read(path: string): Promise<Buffer> {
    return Buffer.from(await this.#shell(`base64 '/data/${bucket}/${path}'`), 'base64');
  }

  async remove(path: string): Promise<void> {
    await this.#shell(`rm '/data/${bucket}/${path}'`);
  }

  /** Turns 64 bytes in its middle over. */
  async damage(path: string): Promise<void> {
    const file = `/data/${bucket}/${path}`;
    await this.#shell(
      `size=$(stat -c %s '${file}'); head -c 64 /dev/urandom | dd of='${file}' bs=1 seek=$((size / 2)) conv=notrunc status=none`,
    );
  }

  /** Connections are refused until {@link start}. */
  async stop(): Promise<void> {
    await this.#scale(0);
    await this.#namespace.cluster.kubectl([
      '--namespace',
      this.#namespace.name,
      'wait',
      '--for=delete',
      'pod',
      `--selector=app=${name}`,
      '--timeout=60s',
    ]);
  }

  async start(): Promise<void> {
    await this.#scale(1);
    await this.ready();
  }

  async ready(): Promise<void> {
    await this.#namespace.until(Deployments, name, deployment =>
      deployment?.status?.readyReplicas === 1 &&
      deployment.status.observedGeneration === deployment.metadata.generation
        ? undefined
        : 'the object store is not ready',
    );
  }

  /** The server takes other credentials than the policy's Secret holds. Returns how to put the Secret right. */
  async changeCredentials(): Promise<() => Promise<void>> {
    const credentials = newCredentials();
    const other = `${name}-other`;
    await this.#namespace.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: other },
      stringData: credentials,
    });
    const from = (variable: string, key: string) => ({
      name: variable,
      valueFrom: { secretKeyRef: { name: other, key } },
    });
    const env = [from('ROOT_ACCESS_KEY', 'access-key-id'), from('ROOT_SECRET_KEY', 'secret-access-key')];
    await this.#namespace.cluster.kubectl([
      '--namespace',
      this.#namespace.name,
      'patch',
      'deployment',
      name,
      '--type=strategic',
      `--patch=${JSON.stringify({ spec: { template: { spec: { containers: [{ name: 's3', env }] } } } })}`,
    ]);
    await this.ready();
    return async () => {
      const data = Object.fromEntries(
        Object.entries(credentials).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
      );
      await this.#namespace.patch(Secrets, `${name}-credentials`, { data });
    };
  }

  async #scale(replicas: number): Promise<void> {
    await this.#namespace.patch(Deployments, name, { spec: { replicas } });
  }

  async #shell(command: string): Promise<string> {
    const [pod] = await this.#namespace.list(Pods, `app=${name}`);
    if (!pod) throw new Error('the object store has no pod');
    return this.#namespace.kubectl('exec', pod.metadata.name, '--', 'sh', '-ec', command);
  }
}

/** It keeps what it holds when it is stopped. `image` is needed outside of tests. */
export async function startObjectStore(
  namespace: TestNamespace,
  options: { readonly image?: string; readonly volume?: string; readonly certificateDays?: number } = {},
): Promise<NamespaceObjectStore> {
  const all = {
    namespace: namespace.name,
    name,
    bucket,
    image: options.image ?? (await imageOfTests()),
    now: new Date(),
    volume: '2Gi',
    ...options,
  };
  for (const object of [...(await objectStoreSecrets(all)), ...objectStoreServer(all)])
    await namespace.apply(object);
  const store = new NamespaceObjectStore(namespace);
  await store.ready();
  return store;
}

/** Benches use the same helpers without vitest, which cannot be loaded outside of a test run. */
async function imageOfTests(): Promise<string> {
  const { inject } = await import('vitest');
  return inject('objectStoreImage');
}
