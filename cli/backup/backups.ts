/** BackupPolicies and what Shards say of their backups, on the API server. What carries them out is the operator. */
import { type BackupPolicy, parseBackupPolicy } from '#crds/api/backup-policy.ts';
import { resources } from '#crds/api/names.ts';
import { parseShard, type Shard } from '#crds/api/shard.ts';
import { NotFoundError, orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { KubeObject } from '#kernel/object.ts';
import { defineResource } from '#kernel/resource.ts';
import { CliError } from '../errors.ts';
import { Shards } from '../fleet.ts';

export const BackupPolicies = defineResource<KubeObject>(resources.backupPolicy);

export type BackupClient = Pick<KubeClient, 'get' | 'list' | 'patch'>;

/** What a backup or a drill is asked for: all shards of a policy, or one shard. */
export type Subject =
  | { readonly kind: 'Policy'; readonly policy: BackupPolicy }
  | { readonly kind: 'Shard'; readonly shard: Shard };

/** What is recorded as the author of changes. */
const fieldManager = 'kubectl-shardwright';

export class Backups {
  readonly namespace: string;
  readonly #objects: BackupClient;

  constructor(objects: BackupClient, namespace: string) {
    this.namespace = namespace;
    this.#objects = objects;
  }

  async policies(): Promise<readonly BackupPolicy[]> {
    try {
      const { items } = await this.#objects.list(BackupPolicies, { namespace: this.namespace });
      return items.map(parseBackupPolicy);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      throw new CliError(
        'NotInstalled',
        `the cluster does not know the kind ${BackupPolicies.kind}`,
        'Install shardwright there (helm install), or choose another cluster with --context.',
        { cause: error },
      );
    }
  }

  /** Those under a policy, by ordinal. */
  async shards(policy: string): Promise<readonly Shard[]> {
    const { items } = await this.#objects.list(Shards, { namespace: this.namespace });
    return items
      .map(parseShard)
      .filter(({ status }) => status?.backup?.policy === policy)
      .toSorted(
        (a, b) => a.spec.cluster.name.localeCompare(b.spec.cluster.name) || a.spec.ordinal - b.spec.ordinal,
      );
  }

  /** A BackupPolicy of that name, else a Shard. */
  async subject(name: string): Promise<Subject> {
    const key = { namespace: this.namespace, name };
    const policy = await orUndefined(this.#objects.get(BackupPolicies, key));
    if (policy) return { kind: 'Policy', policy: parseBackupPolicy(policy) };
    const shard = await orUndefined(this.#objects.get(Shards, key));
    if (shard) return { kind: 'Shard', shard: parseShard(shard) };
    throw new CliError(
      'NotFound',
      `there is neither a BackupPolicy nor a Shard ${name} in namespace ${this.namespace}`,
      'List them with: kubectl shardwright backups. Choose another namespace with -n.',
    );
  }

  /** Sets annotations, all at once, and takes away those that are null. */
  async annotate(subject: Subject, marks: Readonly<Record<string, string | null>>): Promise<void> {
    const body = { metadata: { annotations: marks } };
    const [resource, object] =
      subject.kind === 'Policy' ? [BackupPolicies, subject.policy] : [Shards, subject.shard];
    const key = { namespace: this.namespace, name: object.metadata.name };
    await this.#objects.patch(resource, key, { type: 'merge', body }, { fieldManager });
  }
}
