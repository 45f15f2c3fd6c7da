/** A shard with backups whose Jobs of a recovery run in containers, on volumes that are looked at afterwards. */
import type { CatalogReport, RecoveryReport } from '#engines/recovery.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';
import type { KubeObject } from '#kernel/object.ts';
import { sourceFiles } from '../../backup/repository.ts';
import { serverIdentity } from '../../backup/testing/authority.ts';
import { docker, eventually } from '../../backup/testing/docker.ts';
import type { Member } from '../../backup/testing/member.ts';
import { BackupScene } from '../../backup/testing/scene.ts';
import { RunningTask } from '../../backup/testing/task.ts';
import { paths } from '../../names.ts';
import { sampleShard } from '../../testing/shard.ts';
import { catalogJob } from '../catalog-job.ts';
import { recoverJob } from '../recover-job.ts';
import { parseReportText } from '../report.ts';

const task = {
  name: 'try-1',
  deadlineSeconds: 120,
  serviceAccount: 'social-recovery',
  secret: 'social-recovery-0',
};

export class RecoveryScene implements AsyncDisposable {
  readonly backups: BackupScene;
  readonly #tasks: RunningTask[] = [];

  private constructor(backups: BackupScene) {
    this.backups = backups;
  }

  static async start(): Promise<RecoveryScene> {
    return new RecoveryScene(await BackupScene.start());
  }

  /** Waits until the store has all that the primary has committed so far. */
  async archived(primary: Member): Promise<void> {
    const since = new Date(Date.now() + 1500).toISOString();
    await primary.until(({ rpoSeconds, at }) => rpoSeconds === 0 && at > since, 60_000);
  }

  async recover(
    targetTime?: string,
    passphrase = this.backups.repository.passphrase ?? '',
  ): Promise<{ readonly volume: RecoveredVolume; readonly report: RecoveryReport }> {
    const shard = sampleShard(
      { engine: { type: 'postgresql', version: '17', database: 'postgres' } },
      { name: 'again-0' },
    );
    const { path, stanza } = this.backups.repository;
    const job = recoverJob(
      shard,
      {
        ...task,
        job: 'again-0-recover',
        path,
        stanza,
        ...(targetTime !== undefined && { targetTime }),
        claim: 'data-again-0-0',
        fleet: 'uid',
      },
      context,
    );
    const running = await this.#run(job, passphrase);
    const report = await ended(running);
    if (report.kind !== 'Recovery') throw new Error(`a recovery reported ${JSON.stringify(report)}`);
    return { volume: new RecoveredVolume(running.name), report };
  }

  async catalog(path: string): Promise<CatalogReport> {
    const request = { ...task, job: 'again-catalog-0', path, cluster: 'social' };
    const job = catalogJob(sampleShard({}, { name: 'again-0' }), request, context);
    const report = await ended(await this.#run(job, this.backups.repository.passphrase ?? ''));
    if (report.kind !== 'Catalog') throw new Error(`a catalog reported ${JSON.stringify(report)}`);
    return report;
  }

  async #run(job: KubeObject, passphrase: string): Promise<RunningTask> {
    const running = await RunningTask.start(job, {
      image: await ensurePostgresImage(),
      identity: await serverIdentity({ dns: ['nobody'], ip: [] }),
      files: sourceFiles({ ...this.backups.repository, path: 'prod/fleet/social', passphrase }),
    });
    this.#tasks.push(running);
    return running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#tasks.map(each => each[Symbol.asyncDispose]()));
    await this.backups[Symbol.asyncDispose]();
  }
}

const context = {
  image: 'unused',
  imagePullPolicy: 'IfNotPresent',
  operator: { namespace: 'shardwright', labels: {} },
} as const;

async function ended(running: RunningTask): Promise<CatalogReport | RecoveryReport> {
  const read = (file: string) =>
    docker(['exec', running.name, 'sh', '-c', `cat ${file} 2>/dev/null || true`]);
  const code = await eventually(
    async () => {
      const text = await read('/tmp/ended');
      return text === '' ? undefined : Number(text);
    },
    120_000,
    () => running.logs(),
  );
  const text = await read('/tmp/report.json');
  const report = parseReportText(text);
  if (report === undefined)
    throw new Error(`it said nothing that can be read: ${text} ${await running.logs()}`);
  if ((code === 0) !== (report.state === 'Succeeded')) throw new Error(`it ended with ${code}: ${text}`);
  return report;
}

/** What a Job has left on the volume: still in its container. */
export class RecoveredVolume {
  readonly #container: string;

  constructor(container: string) {
    this.#container = container;
  }

  shell(script: string): Promise<string> {
    return docker(['exec', this.#container, 'sh', '-c', script]);
  }

  /** What is on it, onto the volume of another container. */
  async copyTo(container: string): Promise<void> {
    const archive = await this.shell(`tar -C ${paths.volume} -czf - data | base64 -w 0`);
    await docker(['exec', '-i', container, 'sh', '-c', `base64 -d | tar -C ${paths.volume} -xzf -`], archive);
  }

  /** A server as a member would run it: only who it listens to is changed. */
  async start(): Promise<void> {
    await this.shell(
      `pg_ctl start -w -D ${paths.data} -l /tmp/server.log -o "-c listen_addresses='' -c ssl=off" >/dev/null || { cat /tmp/server.log; exit 1; }`,
    );
  }

  /** Values of the first column. */
  async query(sql: string): Promise<readonly string[]> {
    const text = await this.shell(
      `psql -XAtqh ${paths.sockets} -U postgres -v ON_ERROR_STOP=1 -c "${sql.replaceAll('"', '\\"').replaceAll('$', '\\$')}"`,
    );
    return text === '' ? [] : text.split('\n');
  }
}
