/** ShardMigrations on the API server: making, reading and changing them. What carries them out is the operator. */
import { labels, resources } from '#crds/api/names.ts';
import { parseShardMigration, type ShardMigration } from '#crds/api/shard-migration.ts';
import { AlreadyExistsError, InvalidError, NotFoundError, orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { KubeObject } from '#kernel/object.ts';
import { defineResource } from '#kernel/resource.ts';
import { CliError } from '../errors.ts';

export const ShardMigrations = defineResource<KubeObject>(resources.shardMigration);

export type MigrationClient = Pick<KubeClient, 'get' | 'list' | 'create' | 'patch' | 'delete'>;

/** What is recorded as the author of changes. */
const fieldManager = 'kubectl-shardwright';
const namesTried = 50;

export class Migrations {
  readonly namespace: string;
  readonly #objects: MigrationClient;

  constructor(objects: MigrationClient, namespace: string) {
    this.namespace = namespace;
    this.#objects = objects;
  }

  /** Of one fleet or of all in the namespace, the newest last. */
  async list(cluster?: string): Promise<readonly ShardMigration[]> {
    const { items } = await this.#known(() =>
      this.#objects.list(ShardMigrations, { namespace: this.namespace }),
    );
    return items
      .map(parseShardMigration)
      .filter(({ spec }) => cluster === undefined || spec.cluster.name === cluster)
      .toSorted((a, b) => (age(a) < age(b) ? -1 : 1));
  }

  async find(name: string): Promise<ShardMigration | undefined> {
    const key = { namespace: this.namespace, name };
    const found = await orUndefined(this.#objects.get(ShardMigrations, key));
    return found === undefined ? undefined : parseShardMigration(found);
  }

  async get(name: string): Promise<ShardMigration> {
    const found = await this.find(name);
    if (found !== undefined) return found;
    throw new CliError(
      'NotFound',
      `there is no ShardMigration ${name} in namespace ${this.namespace}`,
      'List them with: kubectl shardwright migration list. Choose another namespace with -n.',
    );
  }

  /** Under `name`, or a free name that begins with it unless it must be that one. */
  async create(name: string, exactly: boolean, cluster: string, spec: object): Promise<ShardMigration> {
    for (let n = 1; ; n++) {
      try {
        const made = await this.#known(() =>
          this.#objects.create(
            {
              apiVersion: ShardMigrations.apiVersion,
              kind: ShardMigrations.kind,
              metadata: {
                name: n === 1 ? name : `${name}-${n}`,
                namespace: this.namespace,
                labels: { [labels.cluster]: cluster },
              },
              spec: { cluster: { name: cluster }, ...spec },
            },
            { fieldManager, fieldValidation: 'Strict' },
          ),
        );
        return parseShardMigration(made);
      } catch (error) {
        if (error instanceof InvalidError) {
          throw new CliError('Refused', error.message, 'Correct the options.', { cause: error });
        }
        if (!(error instanceof AlreadyExistsError)) throw error;
        if (exactly || n === namesTried) {
          throw new CliError(
            'Exists',
            `there is a ShardMigration ${name} already`,
            'Choose another name with --name, or delete the old one.',
            { cause: error },
          );
        }
      }
    }
  }

  async patch(name: string, body: object): Promise<ShardMigration> {
    const key = { namespace: this.namespace, name };
    const patched = await this.#objects.patch(
      ShardMigrations,
      key,
      { type: 'merge', body },
      { fieldManager },
    );
    return parseShardMigration(patched);
  }

  async delete(name: string): Promise<void> {
    await this.#objects.delete(ShardMigrations, { namespace: this.namespace, name });
  }

  async #known<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      throw new CliError(
        'NotInstalled',
        `the cluster does not know the kind ${ShardMigrations.kind}`,
        'Install shardwright there (helm install), or choose another cluster with --context.',
        { cause: error },
      );
    }
  }
}

function age({ metadata }: ShardMigration): string {
  return `${metadata.creationTimestamp ?? ''}/${metadata.name}`;
}
