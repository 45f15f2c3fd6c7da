/**
 * A Job of a shard in a Docker container, as the rendered Job says: the project's image with its arguments and environment, the
 * shard's certificate and the repository's settings as files, a read-only root. It reports to a file.
 */
import { randomBytes } from 'node:crypto';
import { shardChildren } from '#crds/api/names.ts';
import type { BackupReport } from '#engines/backup.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Job } from '#kernel/resources.ts';
import { paths } from '../../names.ts';
import { parseReportText } from '../report.ts';
import type { ServerIdentity } from './authority.ts';
import { docker, eventually } from './docker.ts';

export interface TaskOptions {
  readonly image: string;
  readonly identity: ServerIdentity;
  /** Data of the Secret `<shard>-backup`. */
  readonly files: Readonly<Record<string, string>>;
  /** Members by name, whose addresses the name server would know. */
  readonly members?: readonly { readonly name: string; readonly address: string }[];
}

const reportFile = '/tmp/report.json';
const memory = (path: string, more = '') => `--tmpfs=${path}:uid=999,gid=999,mode=0750${more}`;

/** Writes files below a folder, as a mounted Secret has them. */
const writer = `
import json, os, sys
os.umask(0o077)
for folder, files in json.load(sys.stdin).items():
    os.makedirs(folder, exist_ok=True)
    for name, text in files.items():
        with open(f'{folder}/{name}', 'w') as file: file.write(text)
open('/tmp/prepared', 'w').close()
`;

export class RunningTask implements AsyncDisposable {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  static async start(object: KubeObject, options: TaskOptions): Promise<RunningTask> {
    const { metadata, spec } = object as Job;
    const [container] = spec?.template.spec?.containers ?? [];
    const shard = (metadata.labels ?? {})['shardwright.io/shard'] ?? '';
    const domain = `${shardChildren.headlessService(shard)}.${metadata.namespace}.svc`;
    const task = new RunningTask(`bk-${metadata.name}-${randomBytes(4).toString('hex')}`);
    await docker([
      'run',
      '--detach',
      `--name=${task.name}`,
      '--read-only',
      memory(paths.volume),
      ...['/etc/shardwright', paths.sockets, '/tmp'].map(path => memory(path)),
      ...(options.members ?? []).map(({ name, address }) => `--add-host=${name}.${domain}:${address}`),
      ...(container?.env ?? []).map(({ name, value }) => `--env=${name}=${value}`),
      `--env=REPORT_FILE=${reportFile}`,
      '--entrypoint=sh',
      options.image,
      '-c',
      // What it has told outlives it, as an annotation does.
      `until [ -e /tmp/prepared ]; do sleep 0.1; done; member ${container?.args?.join(' ')} & task=$!
       trap 'kill -TERM $task' TERM; wait $task; wait $task; echo $? > /tmp/ended; sleep 600`,
    ]);
    const { ca, certificate, key } = options.identity;
    const folders = {
      [paths.certificates]: { 'ca.crt': ca, 'tls.crt': certificate, 'tls.key': key },
      [paths.backup]: options.files,
    };
    await docker(['exec', '-i', task.name, 'python3', '-c', writer], JSON.stringify(folders));
    return task;
  }

  async report(): Promise<BackupReport | undefined> {
    const text = await docker(['exec', this.name, 'sh', '-c', `cat ${reportFile} 2>/dev/null || true`]);
    return text === '' ? undefined : parseReportText(text);
  }

  /** Its last report, and how it ended. */
  async ended(withinMs = 60_000): Promise<{ readonly code: number; readonly report: BackupReport }> {
    const code = await eventually(
      async () => {
        const text = await docker(['exec', this.name, 'sh', '-c', 'cat /tmp/ended 2>/dev/null || true']);
        return text === '' ? undefined : Number(text);
      },
      withinMs,
      () => this.logs(),
    );
    const report = await this.report();
    if (report === undefined) throw new Error(`it said nothing that can be read: ${await this.logs()}`);
    return { code, report };
  }

  /** Waits until it has logged this. */
  async logged(words: string): Promise<void> {
    await eventually(
      async () => ((await this.logs()).includes(words) ? true : undefined),
      60_000,
      () => this.logs(),
    );
  }

  /** As the kubelet asks a pod to end. */
  async stop(): Promise<void> {
    await docker(['kill', '--signal=TERM', this.name]);
  }

  logs(): Promise<string> {
    return docker(['logs', this.name]).catch(String);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await docker(['rm', '--force', '--volumes', this.name]).catch(() => undefined);
  }
}
