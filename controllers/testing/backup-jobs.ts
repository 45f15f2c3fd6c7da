/**
 * What goes on around backups in a cluster where no pod runs: primaries' meters tell of archiving, Jobs run and end. On a real
 * API server, for *.api.test.ts.
 */
import { type ArchiveOutcome, outcomeMessage } from '#archive/outcome.ts';
import { parseRequest } from '#controllers/backup-policy/requests.ts';
import { annotations, labels, shardChildren } from '#crds/api/names.ts';
import type { ArchiveReport, BackupReport } from '#engines/backup.ts';
import { orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import { type Job, Jobs, type Pod, Pods, Secrets } from '#kernel/resources.ts';
import { endJob, tellReport } from './ended-job.ts';

export class BackupJobs {
  /** Over what meters tell, by shard; `undefined`: it tells nothing. */
  readonly meters = new Map<string, Partial<ArchiveReport> | undefined>();
  /** Requests that have ended. */
  readonly ended: string[] = [];
  /** Requests and names of Jobs that fail. */
  readonly failing = new Set<string>();
  /** What runs of the archive fail with. */
  readonly archiveFailure = {
    code: 'UnsuitableTable',
    message: 'there is no table public.t',
    remedy: 'Correct the name.',
  };
  readonly #client: KubeClient;
  readonly #namespace: string;

  constructor(client: KubeClient, namespace: string) {
    this.#client = client;
    this.#namespace = namespace;
  }

  /** One turn of everything. */
  async turn(): Promise<void> {
    const { items } = await this.#client.list(Pods, { namespace: this.#namespace });
    for (const { metadata } of items) {
      const shard = metadata.labels?.[labels.shard];
      if (shard !== undefined && metadata.labels?.['shardwright.io/role'] === 'primary') {
        await this.#tell(shard, metadata.name);
      }
    }
    const jobs = await this.#client.list(Jobs, { namespace: this.#namespace });
    for (const job of jobs.items) if (!job.status?.conditions) await this.#finish(job);
  }

  async #tell(shard: string, pod: string): Promise<void> {
    const over = this.meters.get(shard);
    if (this.meters.has(shard) && over === undefined) return;
    const key = { namespace: this.#namespace, name: shardChildren.backupSecret(shard) };
    const policy = (await orUndefined(this.#client.get(Secrets, key)))?.data?.['policy.json'];
    if (policy === undefined) return;
    const { version }: { version: string } = JSON.parse(Buffer.from(policy, 'base64').toString());
    const report: BackupReport = {
      kind: 'Archive',
      at: new Date().toISOString(),
      settingsVersion: version,
      rpoSeconds: 0,
      continuity: 'Verified',
      timeline: 1,
      objects: 1,
      bytes: 1,
      ...over,
    };
    await tellReport(this.#client, Pods, { namespace: this.#namespace, name: pod }, report);
  }

  /** As its kubelet would: the pod of the template, with its last message. */
  async #runArchive(job: Job, ok: boolean, at: string): Promise<void> {
    const { template } = job.spec ?? {};
    const { name, uid = '' } = job.metadata;
    const pod: Pod = {
      apiVersion: Pods.apiVersion,
      kind: Pods.kind,
      metadata: {
        // Nobody collects it when its Job goes.
        name: `${name}-${uid.slice(0, 8)}`,
        namespace: this.#namespace,
        ...(template?.metadata?.labels ? { labels: template.metadata.labels } : {}),
        ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name, uid, controller: true }],
      },
      ...(template?.spec ? { spec: template.spec } : {}),
    };
    const made = await this.#client.create(pod);
    const outcome: ArchiveOutcome = {
      kind: 'Archive',
      at,
      state: ok ? 'Succeeded' : 'Failed',
      tables: ok ? [{ table: 't', rows: 9, parts: 2, bytes: 700, deleted: 8, kept: 1, upTo: at }] : [],
      ...(ok ? {} : { failure: this.archiveFailure }),
    };
    const terminated = { exitCode: ok ? 0 : 1, message: outcomeMessage(outcome) };
    const containerStatuses = [
      { name: 'archive', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated } },
    ];
    const body = { status: { phase: ok ? 'Succeeded' : 'Failed', containerStatuses } };
    await this.#client.patch(Pods, made.metadata, { type: 'merge', body }, { subresource: 'status' });
    await this.#end(job, at, ok);
  }

  async #finish(job: Job): Promise<void> {
    const { name, annotations: notes = {}, creationTimestamp = '' } = job.metadata;
    const request = notes[annotations.request] ?? '';
    const ok = !this.failing.has(request) && !this.failing.has(name);
    const at = new Date().toISOString();
    if (job.metadata.labels?.[labels.task] === 'archive') return this.#runArchive(job, ok, at);
    const state = ok ? 'Succeeded' : 'Failed';
    const failure = ok ? {} : { failure: 'the store said no' };
    const what = parseRequest(request)?.what;
    const type = what === 'full' || what === 'differential' ? what : 'incremental';
    const report: BackupReport =
      job.metadata.labels?.[labels.task] === 'drill'
        ? {
            kind: 'Drill',
            request,
            at,
            state,
            steps: [{ name: 'Fetch', seconds: 3 }],
            rtoSeconds: 4,
            rpoSeconds: 1,
            checks: [{ name: 'mark', passed: ok, message: '' }],
            ...failure,
          }
        : {
            kind: 'Backup',
            request,
            at,
            state,
            type,
            records: [
              {
                label: request,
                type,
                started: creationTimestamp,
                stopped: at,
                databaseBytes: 1000,
                storedBytes: 100,
                error: false,
              },
            ],
            ...failure,
          };
    await tellReport(this.#client, Jobs, job.metadata, report);
    await this.#end(job, at, ok);
  }

  async #end(job: Job, at: string, ok: boolean): Promise<void> {
    await endJob(this.#client, job, at, ok);
    this.ended.push(`${job.metadata.name} ${job.metadata.annotations?.[annotations.request] ?? ''}`);
  }
}
