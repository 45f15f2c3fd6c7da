/** A shard with a repository: a primary and a standby with their meters, an object store, and Jobs that work for them. */
import type {
  BackupProgressReport,
  BackupRequest,
  BackupSession,
  DrillReport,
  DrillRequest,
  Repository,
} from '#engines/backup.ts';
import type { RenderContext } from '#engines/engine.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';
import { ensureTool } from '#hack/tools.ts';
import { paths, serverNames } from '../../names.ts';
import { sampleShard } from '../../testing/shard.ts';
import { backupJob } from '../backup-job.ts';
import { drillJob } from '../drill-job.ts';
import { repositoryFiles } from '../repository.ts';
import { type ServerIdentity, serverIdentity } from './authority.ts';
import { Member } from './member.ts';
import { ObjectStore } from './object-store.ts';
import { RunningTask } from './task.ts';

const meter = { rpoSeconds: 2, version: 'v1' };
const deadlineSeconds = 120;

export class BackupScene implements AsyncDisposable {
  readonly shard = sampleShard({ engine: { type: 'postgresql', version: '17', database: 'postgres' } });
  readonly store: ObjectStore;
  readonly repository: Repository;
  readonly #image: string;
  readonly #identity: ServerIdentity;
  readonly #members: Member[] = [];
  readonly #tasks: RunningTask[] = [];
  #count = 0;

  private constructor(image: string, store: ObjectStore, identity: ServerIdentity) {
    this.#image = image;
    this.store = store;
    this.#identity = identity;
    this.repository = store.repository('prod/fleet/social/0123abcd', 'social-0', {
      passphrase: 'open sesame',
    });
  }

  static async start(): Promise<BackupScene> {
    const image = await ensurePostgresImage();
    const store = await ObjectStore.start({ program: await ensureTool('versitygw') });
    return new BackupScene(
      image,
      store,
      await serverIdentity({ dns: serverNames('social-0', 'fleet'), ip: [] }),
    );
  }

  /** A primary whose archive has begun. */
  async primary(): Promise<Member> {
    const member = await Member.primary({
      image: this.#image,
      identity: this.#identity,
      parameters: {
        ssl: 'on',
        ssl_cert_file: `${paths.certificates}/tls.crt`,
        ssl_key_file: `${paths.certificates}/tls.key`,
        hot_standby_feedback: 'on',
      },
    });
    this.#members.push(member);
    await member.shell(`psql -qh ${paths.sockets} -U postgres -c 'CREATE SCHEMA shardwright'`);
    await member.bind(this.files());
    await member.until(({ archivedTo }) => archivedTo !== undefined);
    return member;
  }

  async standbyOf(primary: Member): Promise<Member> {
    const member = await Member.standbyOf(primary);
    this.#members.push(member);
    await member.bind(this.files());
    return member;
  }

  files(change: Partial<Repository> = {}): Readonly<Record<string, string>> {
    return repositoryFiles(this.shard, { ...this.repository, ...change }, meter);
  }

  async beginBackup(
    request: Partial<BackupRequest> & { readonly primary: string },
    files = this.files(),
  ): Promise<RunningTask> {
    const job = backupJob(
      this.shard,
      { name: `backup-${++this.#count}`, type: 'full', expire: [], deadlineSeconds, ...request },
      this.#context,
    );
    return this.#begin(job, files);
  }

  async backup(request: Parameters<BackupScene['beginBackup']>[0]): Promise<BackupProgressReport> {
    return backupReport(await this.beginBackup(request));
  }

  async beginDrill(request: Partial<DrillRequest> = {}, files = this.files()): Promise<RunningTask> {
    const job = drillJob(
      this.shard,
      { name: `drill-${++this.#count}`, deadlineSeconds, expect: {}, ...request },
      this.#context,
    );
    return this.#begin(job, files);
  }

  async drill(request: Partial<DrillRequest> = {}, files = this.files()): Promise<DrillReport> {
    const task = await this.beginDrill(request, files);
    const { code, report } = await task.ended();
    if (report.kind !== 'Drill') throw new Error(`a drill reported ${JSON.stringify(report)}`);
    if ((code === 0) !== (report.state === 'Succeeded')) throw new Error(`it ended with ${code}`);
    return report;
  }

  async #begin(job: Parameters<typeof RunningTask.start>[0], files: Readonly<Record<string, string>>) {
    const task = await RunningTask.start(job, {
      image: this.#image,
      identity: this.#identity,
      files,
      members: this.#members,
    });
    this.#tasks.push(task);
    return task;
  }

  get #context(): RenderContext {
    return {
      image: this.#image,
      imagePullPolicy: 'IfNotPresent',
      operator: { namespace: 'shardwright', labels: {} },
    };
  }

  /** What a drill of everything that the shard holds now must find. */
  async expectation(session: BackupSession): Promise<Partial<DrillRequest>> {
    const mark = await session.mark();
    const found = await session.contents(2 ** 30);
    return found === undefined
      ? { expect: { mark } }
      : { target: found.target, expect: { mark, ...(found.contents && { contents: found.contents }) } };
  }

  target(primary: Member, replica?: Member) {
    return {
      primary: { name: primary.name, host: primary.address },
      ...(replica && { replica: { name: replica.name, host: replica.address } }),
      ca: this.#identity.ca,
      passwords: { superuser: '', rest: '' },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#tasks, ...this.#members].map(each => each[Symbol.asyncDispose]()));
    await this.store[Symbol.asyncDispose]();
  }
}

export async function backupReport(task: RunningTask): Promise<BackupProgressReport> {
  const { code, report } = await task.ended();
  if (report.kind !== 'Backup') throw new Error(`a backup reported ${JSON.stringify(report)}`);
  if ((code === 0) !== (report.state === 'Succeeded')) throw new Error(`it ended with ${code}`);
  return report;
}
