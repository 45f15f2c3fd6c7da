/**
 * A fleet under BackupPolicies, in memory: Shards, members whose meters tell, Jobs that run and end, people who write specs. The
 * operator is the real one but for the API server; it can be killed before any of its writes. What must hold at every moment is
 * checked at every write.
 */

import { type ArchiveOutcome, outcomeMessage } from '#archive/outcome.ts';
import { withoutBackupFields } from '#controllers/backup-fields.ts';
import type { ArchiveRequest } from '#controllers/backup-policy/archive-job.ts';
import type { BackupDeps, BackupObjects, DrillAccess } from '#controllers/backup-policy/deps.ts';
import { backupPolicyOf } from '#controllers/backup-policy/facts.ts';
import { BackupMemory, Newest } from '#controllers/backup-policy/memory.ts';
import { drillReconciler } from '#controllers/backup-policy/prepare-drill.ts';
import { backupPolicyReconciler } from '#controllers/backup-policy/reconcile.ts';
import { parseRequest } from '#controllers/backup-policy/requests.ts';
import { byCluster, byPolicy, byShard, byTask, indexKey } from '#controllers/caches.ts';
import { shardOf } from '#controllers/shard/facts.ts';
import type { ShardBackupStatus } from '#crds/api/backup/shard-status.ts';
import type { BackupPolicyStatus } from '#crds/api/backup-policy.ts';
import { annotations, apiVersion, labels, shardChildren, shardLabels } from '#crds/api/names.ts';
import type {
  ArchiveReport,
  BackupEngine,
  BackupRecord,
  BackupReport,
  BackupRequest,
  BackupType,
  DrillReport,
  DrillRequest,
} from '#engines/backup.ts';
import { UnreachableError } from '#engines/errors.ts';
import { sameJson } from '#kernel/canonical.ts';
import { timestamp } from '#kernel/conditions.ts';
import type { ReconcileResult } from '#kernel/controller.ts';
import { silentLog } from '#kernel/log.ts';
import { type KubeObject, keyOf } from '#kernel/object.ts';
import type { StoreEvent } from '#kernel/reflector.ts';
import type { Job } from '#kernel/resources.ts';
import { FakeClock } from '#kernel/testing/fake-clock.ts';
import { member, shardWith } from './objects.ts';

const NAMESPACE = 'default';

export class Killed extends Error {
  override readonly name = 'Killed';
}

/** What a meter tells; `undefined` says nothing. */
export type Meter = Partial<Pick<ArchiveReport, 'rpoSeconds' | 'continuity' | 'failure'>> | undefined;

export interface WorldOptions {
  readonly shards?: number;
  readonly policy?: object;
}

export const policySpec = {
  clusters: { names: ['social'] },
  objectives: { rpo: '10s', rto: '5m' },
  schedule: { full: '0 2 * * 0', incremental: '0 * * * *', jitter: '0s', maxConcurrent: 2 },
  destinations: [
    { s3: { endpoint: 'https://s3.example', bucket: 'backups', credentials: { secretName: 's3' } } },
  ],
  drill: { schedule: '30 4 * * *', sample: 1 },
} as const;

export class BackupWorld {
  /** A Monday. */
  readonly clock = new FakeClock(new Date('2026-01-05T10:07:00Z'));
  readonly policies = new Shelf();
  readonly clusters = new Shelf();
  readonly shards = new Shelf();
  readonly pods = new Shelf();
  readonly jobs = new Shelf();
  readonly migrations = new Shelf();
  readonly secrets = new Map<string, KubeObject>();
  /** What happened, in order. */
  readonly transcript: string[] = [];
  /** Writes so far; the operator is killed before the one of this number. */
  points = 0;
  crashAt = Number.POSITIVE_INFINITY;
  /** `refused`: that one write fails, and the operator lives on. */
  crash: 'killed' | 'refused' = 'killed';
  #dead = false;
  /** How each shard's meter does; default: well. */
  readonly meters = new Map<string, Meter>();
  /** How Jobs end; default: well. `stuck` ones go on. */
  ends: (job: string, request: string) => 'ok' | 'fails' | 'silent' | 'stuck' = () => 'ok';
  rtoSeconds = 42;
  /** Live databases that do not answer. */
  unreachable = false;
  /** Rows that are old, by shard, and those that are in files. */
  readonly oldRows = new Map<string, number>();
  readonly archivedRows = new Map<string, number>();
  /** What runs of the archive fail with. */
  archiveFailure = {
    code: 'ObjectStore',
    message: 'HTTP 503',
    remedy: 'Check that the object store answers.',
  };
  /** Requests whose backup is in the repository, by shard. */
  readonly repository = new Map<string, BackupRecord[]>();
  readonly expired: string[] = [];
  #deps = this.#operator();
  readonly #conditions = new Map<string, string>();
  readonly #toldAt = new Map<string, number>();

  constructor({ shards = 2, policy = {} }: WorldOptions = {}) {
    this.addCluster('social', shards);
    this.secret('s3', { 'access-key-id': 'id', 'secret-access-key': 'secret' });
    this.addPolicy('nightly', policy);
  }

  addPolicy(name: string, spec: object = {}): void {
    this.policies.put({
      apiVersion,
      kind: 'BackupPolicy',
      metadata: {
        name,
        namespace: NAMESPACE,
        uid: `uid-${name}`,
        generation: 1,
        creationTimestamp: timestamp(this.clock.now()),
      },
      spec: { ...policySpec, ...spec },
    });
  }

  edit(name: string, spec: object): void {
    const raw = this.policies.need(name);
    const generation = (raw.metadata.generation ?? 0) + 1;
    const before = backupPolicyOf(raw).spec;
    this.policies.put({ ...raw, metadata: { ...raw.metadata, generation }, spec: { ...before, ...spec } });
  }

  annotate(shelf: Shelf, name: string, annotation: string, value: string): void {
    const raw = shelf.need(name);
    const all = { ...raw.metadata.annotations, [annotation]: value };
    shelf.put({ ...raw, metadata: { ...raw.metadata, annotations: all } });
  }

  addCluster(name: string, shards: number, metadata: object = {}): void {
    this.clusters.put({
      apiVersion,
      kind: 'ShardCluster',
      metadata: { name, namespace: NAMESPACE, uid: `uid-of-${name}`, ...metadata },
    });
    for (let i = 0; i < shards; i++) this.addShard(name, i);
  }

  addShard(cluster: string, ordinal: number): void {
    const name = `${cluster}-${ordinal}`;
    const members = [`${name}-0`, `${name}-1`];
    const status = {
      primary: members[0],
      members: members.map((pod, i) => ({ name: pod, role: i === 0 ? 'primary' : 'replica', ready: true })),
    };
    const shard = shardWith({ cluster: { name: cluster }, ordinal }, {}, status);
    this.shards.put({
      ...shard,
      metadata: { ...shard.metadata, name, uid: `uid-${name}`, labels: shardLabels(cluster, name) },
    });
    for (const pod of members) {
      this.pods.put({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: pod, namespace: NAMESPACE, labels: shardLabels(cluster, name) },
      });
    }
  }

  secret(name: string, fields: Readonly<Record<string, string>>): void {
    const data = Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
    );
    this.secrets.set(name, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace: NAMESPACE },
      data,
    });
  }

  /** The operator is gone, and another one starts with nothing but what is there. */
  restart(): void {
    this.#dead = false;
    this.#deps = this.#operator();
  }

  /** Passes until nothing is asked for at once, `seconds` long, a second each; meters and Jobs go on meanwhile. */
  async run(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) await this.second();
  }

  /** One, or as many as are skipped to the next pass. */
  async second(seconds = 1): Promise<void> {
    await this.clock.advance(seconds * 1000);
    this.#turn();
    await this.pass();
  }

  /** Until this holds, at most some hours. With a pass every so many seconds. */
  async until(holds: () => boolean, every = 1): Promise<void> {
    for (let i = 0; !holds(); i++) {
      if (i > 3000)
        throw new Error(`it did not come true: ${JSON.stringify(this.status('nightly'), undefined, 1)}`);
      await this.second(every);
    }
  }

  /** One pass over every policy, also over one that a Shard still names, and over every drill that is wanted. */
  async pass(): Promise<void> {
    const named = this.shards.all().flatMap(raw => shardOf(raw).status?.backup?.policy ?? []);
    const names = new Set([...this.policies.all().map(({ metadata }) => metadata.name), ...named]);
    for (const name of names) await this.#reconcile(deps => backupPolicyReconciler(deps), name);
    for (const { metadata } of this.shards.all()) {
      if (this.backup(metadata.name)?.drill?.wanted === undefined) continue;
      await this.#reconcile(deps => drillReconciler({ ...deps, access: this.#access() }), metadata.name);
    }
    this.#tell();
  }

  status(policy: string): BackupPolicyStatus {
    return backupPolicyOf(this.policies.need(policy)).status ?? {};
  }

  condition(type: string, policy = 'nightly'): string | undefined {
    const found = this.status(policy).conditions?.find(each => each.type === type);
    return found && `${found.status} ${found.reason}: ${found.message}`;
  }

  backup(shard: string): ShardBackupStatus | undefined {
    return shardOf(this.shards.need(shard)).status?.backup;
  }

  async #reconcile(
    make: (
      deps: BackupDeps,
    ) => (
      request: { namespace: string; name: string },
      context: { signal: AbortSignal; log: typeof silentLog; reconcileId: string },
    ) => Promise<ReconcileResult | undefined | void>,
    name: string,
  ): Promise<void> {
    const context = { signal: new AbortController().signal, log: silentLog, reconcileId: 'test' };
    try {
      await make(this.#deps)({ namespace: NAMESPACE, name }, context);
    } catch (error) {
      if (!(error instanceof Killed) && !(error instanceof UnreachableError)) throw error;
      if (error instanceof Killed) {
        this.transcript.push(`  (${this.crash})`);
        if (this.#dead) this.restart();
      }
    }
  }

  /** Meters tell, Jobs go on and end. */
  #turn(): void {
    const at = this.clock.now().toISOString();
    for (const raw of this.shards.all()) {
      const { name } = raw.metadata;
      const settings = this.#settingsOf(name);
      const meter = this.meters.has(name) ? this.meters.get(name) : {};
      if (settings === undefined || meter === undefined || this.#hasTold(name)) continue;
      const report: ArchiveReport = {
        kind: 'Archive',
        at,
        settingsVersion: settings,
        rpoSeconds: 0,
        continuity: 'Verified',
        timeline: 1,
        objects: 1,
        bytes: 16_777_216,
        ...meter,
      };
      this.annotate(this.pods, `${name}-0`, annotations.report, JSON.stringify(report));
    }
    for (const job of this.jobs.all()) this.#work(job);
  }

  /** A meter speaks every five seconds. */
  #hasTold(shard: string): boolean {
    const now = this.clock.monotonicMs();
    if (now - (this.#toldAt.get(shard) ?? -Infinity) < 5000) return true;
    this.#toldAt.set(shard, now);
    return false;
  }

  #work(job: KubeObject): void {
    const request = job.metadata.annotations?.[annotations.request] ?? '';
    const status: Job['status'] = (job as Job).status;
    if (status?.conditions) return;
    const age = this.clock.now().getTime() - Date.parse(job.metadata.creationTimestamp ?? '');
    const kind = job.metadata.labels?.[labels.task];
    const how = this.ends(job.metadata.name, request);
    const shard = job.metadata.labels?.[labels.shard] ?? '';
    const base = { request, at: this.clock.now().toISOString() };
    const type = typeIn(request);
    if (age < 3000 || how === 'stuck') {
      if (kind === 'backup') {
        this.#report(job, {
          kind: 'Backup',
          ...base,
          state: 'Running',
          type,
          doneBytes: 50,
          totalBytes: 100,
        });
      }
      return;
    }
    const ok = how === 'ok';
    if (kind === 'archive') this.#archivePod(job, shard, how);
    else if (how !== 'silent') {
      this.#report(
        job,
        kind === 'backup'
          ? {
              kind: 'Backup',
              ...base,
              state: ok ? 'Succeeded' : 'Failed',
              type,
              ...(ok ? {} : { failure: 'the store said no' }),
              records: this.#stored(job, shard, type, ok),
            }
          : this.#drilled(base, ok),
      );
    }
    const now = timestamp(this.clock.now());
    const live = this.jobs.need(job.metadata.name);
    this.jobs.put({
      ...live,
      status: {
        conditions: [
          ok
            ? { type: 'Complete', status: 'True', lastTransitionTime: now }
            : {
                type: 'Failed',
                status: 'True',
                reason: 'BackoffLimitExceeded',
                message: 'its pod failed',
                lastTransitionTime: now,
              },
        ],
      },
    });
  }

  #report(job: KubeObject, report: BackupReport): void {
    this.annotate(this.jobs, job.metadata.name, annotations.report, JSON.stringify(report));
  }

  #stored(job: KubeObject, shard: string, type: BackupType, ok: boolean): BackupRecord[] {
    const gone = new Set((job.metadata.annotations?.['test/expire'] ?? '').split(' '));
    this.expired.push(...gone);
    const before = (this.repository.get(shard) ?? []).filter(record => !gone.has(record.label));
    const at = timestamp(this.clock.now());
    const label = `${at.replaceAll(/\D/g, '').slice(0, 14)}${type[0]?.toUpperCase()}`;
    const prior = before.findLast(record => type === 'incremental' || record.type === 'full')?.label;
    const records = ok
      ? [
          ...before,
          {
            label,
            type,
            started: job.metadata.creationTimestamp ?? at,
            stopped: at,
            databaseBytes: 1000,
            storedBytes: { full: 500, differential: 50, incremental: 5 }[type],
            ...(type !== 'full' && prior !== undefined ? { prior } : {}),
            error: false,
          },
        ]
      : before;
    this.repository.set(shard, records);
    return records;
  }

  #drilled(base: { readonly request: string; readonly at: string }, ok: boolean): DrillReport {
    return {
      kind: 'Drill',
      ...base,
      state: ok ? 'Succeeded' : 'Failed',
      steps: [
        { name: 'Fetch', seconds: 30 },
        { name: 'Recover', seconds: 12 },
      ],
      rtoSeconds: this.rtoSeconds,
      rpoSeconds: 2.5,
      bytes: 1000,
      checks: [{ name: 'mark', passed: ok, message: ok ? 'found' : 'the mark is missing' }],
    };
  }

  /** As the Job's controller leaves it: a run has no other way to tell. */
  #archivePod({ metadata: { name, uid = '' } }: KubeObject, shard: string, how: string): void {
    const done = how === 'ok';
    const rows = done ? (this.oldRows.get(shard) ?? 0) : 0;
    if (done) this.oldRows.delete(shard);
    this.archivedRows.set(shard, (this.archivedRows.get(shard) ?? 0) + rows);
    const outcome: ArchiveOutcome = {
      kind: 'Archive',
      at: this.clock.now().toISOString(),
      state: done ? 'Succeeded' : 'Failed',
      tables: [
        { table: 'messages', rows, parts: rows > 0 ? 1 : 0, bytes: rows * 64, deleted: rows, kept: 0 },
      ],
      ...(done ? {} : { failure: this.archiveFailure }),
    };
    const message = how === 'silent' ? undefined : outcomeMessage(outcome);
    this.pods.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: `${name}-pod`,
        namespace: NAMESPACE,
        labels: { [labels.task]: 'archive', [labels.taskOf]: shard },
        ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name, uid, controller: true }],
      },
      status: { containerStatuses: [{ name: 'archive', state: { terminated: { message } } }] },
    });
  }

  #settingsOf(shard: string): string | undefined {
    const data = this.secrets.get(shardChildren.backupSecret(shard))?.['data'];
    const version: unknown = data && Reflect.get(data, 'version');
    return typeof version === 'string' ? Buffer.from(version, 'base64').toString() : undefined;
  }

  #tell(): void {
    for (const { metadata } of this.policies.all()) {
      for (const { type, status, reason, message } of this.status(metadata.name).conditions ?? []) {
        const id = `${metadata.name} ${type}`;
        const now = `${status} ${reason}`;
        if (this.#conditions.get(id) === now) continue;
        this.#conditions.set(id, now);
        this.transcript.push(`${this.#time()} ${id} ${now}${message === '' ? '' : `: ${message}`}`);
      }
    }
  }

  #time(): string {
    return this.clock.now().toISOString().slice(5, 19);
  }

  #write(what: string): void {
    // Whoever is dead writes nothing more, however it takes the first failure.
    if (this.#dead) throw new Killed(what);
    if (this.points++ >= this.crashAt) {
      this.crashAt = Number.POSITIVE_INFINITY;
      this.#dead = this.crash === 'killed';
      throw new Killed(what);
    }
    if (!/^(status|bind|tell) /.test(what)) this.transcript.push(`${this.#time()}   ${what}`);
    this.check();
  }

  /** Whether each member has been told of the Secret as it is now. */
  toldOfSecrets(): boolean {
    return this.pods.all().every(({ metadata }) => {
      const secret = this.secrets.get(shardChildren.backupSecret(metadata.labels?.[labels.shard] ?? ''));
      return metadata.annotations?.[annotations.backupSecret] === secret?.metadata.resourceVersion;
    });
  }

  /** What must hold at every moment. */
  check(): void {
    for (const kind of ['backup', 'archive']) {
      const running = this.jobs
        .all()
        .filter(job => job.metadata.labels?.[labels.task] === kind && !(job as Job).status?.conditions);
      for (const raw of this.policies.all()) {
        const { maxConcurrent } = backupPolicyOf(raw).spec.schedule;
        if (running.length > maxConcurrent) throw new Error(`${running.length} Jobs of ${kind} at a time`);
      }
    }
    for (const [shard, records] of this.repository) {
      const have = new Set(records.map(({ label }) => label));
      for (const { prior, label } of records) {
        if (prior !== undefined && !have.has(prior)) throw new Error(`${shard}: ${label} stands on nothing`);
      }
    }
  }

  #objects(): BackupObjects {
    return {
      shardStatus: (raw, next) => {
        this.#write(`status of ${raw.metadata.name} is written`);
        return Promise.resolve(
          putStatus(this.shards, raw, before => ({ ...withoutBackupFields(before), ...next })),
        );
      },
      policyStatus: (raw, next) => {
        this.#write('status of the policy is written');
        return Promise.resolve(putStatus(this.policies, raw, () => next));
      },
      applySecret: secret => {
        const { name } = secret.metadata;
        const before = this.secrets.get(name);
        const same = sameJson(before?.['data'], secret['data']);
        if (!same) this.transcript.push(`${this.#time()}   write Secret ${name}`);
        const resourceVersion = same ? (before?.metadata.resourceVersion ?? '') : `${this.points}`;
        this.secrets.set(name, { ...secret, metadata: { ...secret.metadata, resourceVersion } });
        return Promise.resolve(resourceVersion);
      },
      annotatePod: ({ metadata: { name } }, annotation, value) => {
        this.annotate(this.pods, name, annotation, value);
        return Promise.resolve();
      },
      deleteSecret: ({ name }) => {
        this.#write(`delete Secret ${name}`);
        this.secrets.delete(name);
        return Promise.resolve();
      },
      createJob: job => {
        if (this.jobs.get(job.metadata.name)) return Promise.resolve(false);
        const creationTimestamp = timestamp(this.clock.now());
        this.jobs.put({
          ...job,
          metadata: { ...job.metadata, uid: `uid-${Math.random()}`, creationTimestamp },
        });
        this.check();
        return Promise.resolve(true);
      },
      deleteJob: ({ name }) => {
        this.#write(`delete Job ${name}`);
        this.jobs.remove(name);
        this.pods.remove(`${name}-pod`);
        return Promise.resolve();
      },
      removeAnnotation: (raw, annotation, value) => {
        const shelf = raw.kind === 'Shard' ? this.shards : this.policies;
        const live = shelf.need(raw.metadata.name);
        const { [annotation]: found, ...rest } = live.metadata.annotations ?? {};
        if (found !== value) return Promise.resolve(undefined);
        return Promise.resolve(shelf.put({ ...live, metadata: { ...live.metadata, annotations: rest } }));
      },
    };
  }

  #operator(): BackupDeps {
    const { clock } = this;
    const count = { inc: () => undefined, observe: () => undefined };
    return {
      caches: {
        backupPolicies: this.policies,
        shardClusters: this.clusters,
        shardMigrations: this.migrations,
        shards: this.shards,
        pods: this.pods,
        jobs: this.jobs,
      },
      objects: this.#objects(),
      secrets: {
        read: ({ name }) => Promise.resolve(this.secrets.get(name)),
      },
      backups: () => this.#engine(),
      context: { image: 'image', imagePullPolicy: 'Never', operator: { namespace: 'operator', labels: {} } },
      archiveJob: ({ metadata: { name } }, request) =>
        jobFor(shardChildren.archiveJob(name), 'archive', request, name),
      enableCommand: namespace => `enable ${namespace}`,
      memory: new BackupMemory(clock),
      newest: { policies: new Newest(this.policies, clock), shards: new Newest(this.shards, clock) },
      events: {
        emit: ({ type, reason, regarding, note }) => {
          this.transcript.push(`${this.#time()}   ${type} ${reason} ${regarding.kind}: ${note}`);
        },
        conditionsChanged: () => undefined,
      },
      metrics: {
        backupsEnded: count,
        drillsEnded: count,
        restoreTime: count,
        archivesEnded: count,
        archivedRows: count,
        archivedBytes: count,
        erasedRows: count,
      },
      clock,
      onWrite: what => this.#write(what),
    };
  }

  #engine(): BackupEngine {
    return {
      leastRpo: { seconds: 4, because: 'one second to look, three to send' },
      repositoryFiles: (_shard, repository, meter) => ({
        repository: JSON.stringify(repository),
        version: meter.version,
      }),
      backupJob: ({ metadata: { name } }, request) =>
        jobFor(shardChildren.backupJob(name), 'backup', request, name),
      drillJob: ({ metadata: { name } }, request) =>
        jobFor(shardChildren.drillJob(name), 'drill', request, name),
      parseReport: object => {
        const text = object.metadata.annotations?.[annotations.report];
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written above
        return text === undefined ? undefined : (JSON.parse(text) as BackupReport);
      },
    };
  }

  #access(): DrillAccess {
    return {
      find: ({ name }) => {
        const raw = this.shards.get({ name });
        return raw && { shard: shardOf(raw), members: [member(`${name}-0`, { role: 'primary' })] };
      },
      connectTarget: (_shard, { name }) =>
        Promise.resolve({ primary: { name, host: '' }, ca: '', passwords: { superuser: '', rest: '' } }),
      openSession: () => shard =>
        this.unreachable
          ? Promise.reject(new UnreachableError(`${shard.metadata.name} does not answer`))
          : Promise.resolve({
              mark: () => Promise.resolve('mark-1'),
              contents: () =>
                Promise.resolve({ target: '0/1', contents: [{ table: 't', rows: '1', hash: 'h' }] }),
              [Symbol.asyncDispose]: () => Promise.resolve(),
            }),
    };
  }
}

function typeIn(request: string): BackupType {
  const what = parseRequest(request)?.what;
  return what === undefined || what === 'drill' || what === 'archive' ? 'incremental' : what;
}

const putStatus = (shelf: Shelf, raw: KubeObject, change: (status: object) => object): KubeObject => {
  const live = shelf.need(raw.metadata.name);
  const before = typeof live['status'] === 'object' && live['status'] !== null ? live['status'] : {};
  return shelf.put({ ...live, status: change(before) });
};

const jobFor = (
  name: string,
  kind: string,
  request: BackupRequest | DrillRequest | ArchiveRequest,
  shard: string,
): KubeObject => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: {
    name,
    namespace: NAMESPACE,
    labels: { ...shardLabels(shard.replace(/-\d+$/, ''), shard), [labels.task]: kind },
    annotations: {
      [annotations.request]: request.name,
      'test/expire': 'expire' in request ? request.expire.join(' ') : '',
      'test/expect': JSON.stringify('expect' in request ? request.expect : {}),
      'test/source': 'replica' in request ? (request.replica ?? '') : '',
    },
  },
});

/** Objects of one kind, each put with a version of its own, and whoever wants to hear of them. */
export class Shelf {
  readonly #objects = new Map<string, KubeObject>();
  readonly #handlers = new Set<(event: StoreEvent<KubeObject>) => void>();
  #version = 0;

  get(key: string | { readonly name: string }): KubeObject | undefined {
    return this.#objects.get(typeof key === 'string' ? key : key.name);
  }

  need(name: string): KubeObject {
    const found = this.#objects.get(name);
    if (!found) throw new Error(`there is no ${name}`);
    return found;
  }

  all(): readonly KubeObject[] {
    return [...this.#objects.values()];
  }

  values(): Iterable<KubeObject> {
    return this.#objects.values();
  }

  put(object: KubeObject): KubeObject {
    const resourceVersion = String(++this.#version);
    const put = { ...object, metadata: { ...object.metadata, resourceVersion } };
    this.#objects.set(object.metadata.name, put);
    for (const handler of this.#handlers) handler({ type: 'modified', object: put, initial: false });
    return put;
  }

  remove(name: string): void {
    const object = this.#objects.get(name);
    this.#objects.delete(name);
    if (object) for (const handler of this.#handlers) handler({ type: 'deleted', object, initial: false });
  }

  subscribe(handler: (event: StoreEvent<KubeObject>) => void): Disposable {
    this.#handlers.add(handler);
    return { [Symbol.dispose]: () => this.#handlers.delete(handler) };
  }

  byIndex(index: string, value: string): readonly KubeObject[] {
    return this.all().filter(object => indexed(object, index) === value);
  }
}

function indexed(object: KubeObject, index: string): string | undefined {
  const { namespace, labels: marks } = object.metadata;
  const of = (name: string | undefined) => (name === undefined ? undefined : indexKey(namespace, name));
  switch (index) {
    case byShard:
      return of(marks?.[labels.shard]);
    case byTask:
      return of(marks?.[labels.taskOf]);
    case byCluster:
      return of(marks?.[labels.cluster]);
    case byPolicy:
      return of(shardOf(object).status?.backup?.policy);
    default:
      throw new Error(`no index ${index} of ${keyOf(object)}`);
  }
}
