/** What Jobs of a recovery would tell, in a cluster where no pod runs. On a real API server, for *.api.test.ts. */
import { deflateSync } from 'node:zlib';
import { annotations, labels } from '#crds/api/names.ts';
import type { StoredIncarnation } from '#engines/recovery.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { type Job, Jobs } from '#kernel/resources.ts';
import type { Partition } from '#sharding/partition.ts';
import { endJob, tellReport } from './ended-job.ts';

export class RecoveryJobs {
  incarnations: readonly StoredIncarnation[] = [];
  /** What each shard that is to be owned when it was lost, by its name. */
  readonly owned = new Map<string, Partition>();
  /** Why a Job fails, by its name. */
  readonly failing = new Map<string, string>();
  /** Jobs that have ended, in their order. */
  readonly ended: string[] = [];
  readonly #client: KubeClient;
  readonly #namespace: string;

  constructor(client: KubeClient, namespace: string) {
    this.#client = client;
    this.#namespace = namespace;
  }

  /** One turn of everything. */
  async turn(): Promise<void> {
    const { items } = await this.#client.list(Jobs, { namespace: this.#namespace });
    for (const job of items) {
      const task = job.metadata.labels?.[labels.task];
      if (!job.status?.conditions && (task === 'catalog' || task === 'recover'))
        await this.#finish(job, task);
    }
  }

  async #finish(job: Job, task: 'catalog' | 'recover'): Promise<void> {
    const { name, annotations: notes = {} } = job.metadata;
    const failure = this.failing.get(name);
    const at = new Date().toISOString();
    const report = {
      request: notes[annotations.request] ?? '',
      at,
      state: failure === undefined ? 'Succeeded' : 'Failed',
      ...(failure === undefined ? this.#told(job, task) : { failure, steps: [] }),
      kind: task === 'catalog' ? 'Catalog' : 'Recovery',
    };
    await tellReport(this.#client, Jobs, job.metadata, report);
    await endJob(this.#client, job, at, failure === undefined);
    this.ended.push(name);
  }

  #told(job: Job, task: 'catalog' | 'recover'): object {
    if (task === 'catalog') return { incarnations: packed(this.incarnations) };
    const partition = this.owned.get(job.metadata.labels?.[labels.shard] ?? '');
    const found = {
      own: partition ? { app_g4: partition } : {},
      logins: ['app_g4', 'app_ro_g2'],
      floor: { writer: 4, reader: 2 },
      transfers: [],
    };
    return { steps: [], result: { systemIdentifier: '7300000000000000001', found: packed(found) } };
  }
}

function packed(value: unknown): string {
  return deflateSync(JSON.stringify(value)).toString('base64');
}
