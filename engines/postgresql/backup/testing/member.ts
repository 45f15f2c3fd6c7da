/**
 * A member of a shard in a Docker container, as a pod would run it - the project's image, its supervisor, a read-only root, files
 * that are swapped as the kubelet swaps them - but for Patroni, in whose place the server runs alone. So what archives, meters and
 * serves backups is the real thing, and who is primary is the test's decision.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Client } from 'pg';
import { z } from 'zod';
import type { ArchiveReport } from '#engines/backup.ts';
import { paths, serverNames } from '../../names.ts';
import { archiving } from '../../parameters.ts';
import { type ServerIdentity, serverIdentity } from './authority.ts';
import { docker, eventually } from './docker.ts';

export interface MemberOptions {
  readonly image: string;
  /** Its shard's name; the member's is a random one. */
  readonly shard?: string;
  readonly walSegmentSizeMB?: number;
  readonly identity?: ServerIdentity;
  readonly parameters?: Readonly<Record<string, string>>;
  /** Size of its volume; as large as it takes if absent. */
  readonly volumeMegabytes?: number;
  /** Where a throw-away folder of this machine takes the place of memory, for figures. */
  readonly onDisk?: boolean;
}

const memory = (path: string, megabytes?: number) =>
  `--tmpfs=${path}:uid=999,gid=999,mode=0750${megabytes === undefined ? '' : `,size=${megabytes}m`}`;

const reportFile = '/tmp/report.json';

const archiveReport: z.ZodType<ArchiveReport> = z.object({
  kind: z.literal('Archive'),
  at: z.iso.datetime(),
  settingsVersion: z.string(),
  rpoSeconds: z.number().min(0),
  continuity: z.enum(['Verified', 'Unverified', 'Broken']),
  timeline: z.int(),
  archivedTo: z.string().exactOptional(),
  transferSeconds: z.number().exactOptional(),
  objects: z.int(),
  bytes: z.int(),
  failure: z.string().exactOptional(),
});

export class Member implements AsyncDisposable {
  readonly name: string;
  readonly #options: MemberOptions;
  readonly #identity: ServerIdentity;
  readonly #clients: Client[] = [];
  #address = '';
  #port = 0;

  private constructor(name: string, options: MemberOptions, identity: ServerIdentity) {
    this.name = name;
    this.#options = options;
    this.#identity = identity;
  }

  /** A primary with an empty database, answering. */
  static async primary(options: MemberOptions): Promise<Member> {
    const member = await Member.#create(options);
    return member.#startWith(`
initdb -D ${paths.data} -U postgres --no-sync --auth=trust --data-checksums \\
  --wal-segsize=${options.walSegmentSizeMB ?? 1} --encoding=UTF8 --locale=C.UTF-8 >/dev/null
cat >> ${paths.data}/pg_hba.conf <<END
host all all all trust
host replication all all trust
END
cat >> ${paths.data}/postgresql.conf <<END
${member.#settings()}
END`);
  }

  /** A standby that has the primary's data and follows it. */
  static async standbyOf(primary: Member): Promise<Member> {
    const member = await Member.#create({ ...primary.#options, identity: primary.#identity });
    return member.#startWith(
      `pg_basebackup -D ${paths.data} -R -c fast -h ${primary.address} -U postgres --no-sync`,
    );
  }

  /** A server of its own with what the store alone gives back, to the end of the archive. It archives nothing. */
  static async restored(options: MemberOptions, files: Readonly<Record<string, string>>): Promise<Member> {
    const member = await Member.#create(options);
    await member.bind(files);
    await member.#startWith(`
pgbackrest --stanza="$(cat ${paths.backup}/stanza)" --archive-mode=off --type=default restore
echo "hot_standby = off" >> ${paths.data}/postgresql.auto.conf`);
    await member.unbind();
    return member;
  }

  static async #create(options: MemberOptions): Promise<Member> {
    const shard = options.shard ?? 'social-0';
    const identity = options.identity ?? (await serverIdentity({ dns: serverNames(shard, 'fleet'), ip: [] }));
    const member = new Member(`bk-${shard}-${randomBytes(4).toString('hex')}`, options, identity);
    await member.#run();
    return member;
  }

  async #run(): Promise<void> {
    await docker([
      'run',
      '--detach',
      `--name=${this.name}`,
      '--read-only',
      '--publish=127.0.0.1::5432',
      this.#options.onDisk
        ? `--volume=${this.name}:${paths.volume}`
        : memory(paths.volume, this.#options.volumeMegabytes),
      ...['/etc/shardwright', paths.sockets, '/tmp'].map(path => memory(path)),
      '--volume=' + join(import.meta.dirname, 'in-place-of-patroni') + ':/usr/bin/patroni:ro',
      `--env=PATRONI_NAME=${this.name}`,
      '--env=PATRONI_KUBERNETES_NAMESPACE=fleet',
      `--env=REPORT_FILE=${reportFile}`,
      '--entrypoint=sh',
      this.#options.image,
      '-c',
      'until [ -e /tmp/prepared ]; do sleep 0.1; done; exec member database',
    ]);
    const inspect = (format: string) => docker(['inspect', `--format=${format}`, this.name]);
    this.#address = await inspect('{{.NetworkSettings.IPAddress}}');
    this.#port = Number(await inspect('{{(index (index .NetworkSettings.Ports "5432/tcp") 0).HostPort}}'));
  }

  #settings(): string {
    return Object.entries({
      listen_addresses: '*',
      unix_socket_directories: paths.sockets,
      wal_level: 'logical',
      hot_standby: 'on',
      wal_log_hints: 'on',
      wal_keep_size: '64MB',
      max_wal_size: '256MB',
      wal_retrieve_retry_interval: '1s',
      ...archiving,
      ...this.#options.parameters,
    })
      .map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`)
      .join('\n');
  }

  async #startWith(script: string): Promise<this> {
    try {
      const { ca, certificate, key } = this.#identity;
      await this.mount('tls', { 'ca.crt': ca, 'tls.crt': certificate, 'tls.key': key });
      await this.mount('passwords', { superuser: 'one', replication: 'two', rest: 'three' });
      await this.mount('settings', { 'patroni.json': '{}' });
      await this.shell(`set -eu; umask 077; ${script}`);
      await this.shell('touch /tmp/prepared');
      await eventually(async () => {
        await this.shell(`pg_isready -q -h ${paths.sockets}`);
        return true;
      }, 60_000);
      return this;
    } catch (error) {
      const logs = await this.logs();
      await this[Symbol.asyncDispose]();
      throw new Error(`the member did not start: ${logs}`, { cause: error });
    }
  }

  /** Where other containers reach it. */
  get address(): string {
    return this.#address;
  }

  /** The files of a folder below /etc/shardwright, all at once and without a moment in between, as the kubelet swaps them. */
  async mount(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
    const program = `
import json, os, shutil, sys
base, files = '/etc/shardwright/${folder}', json.load(sys.stdin)
os.makedirs(base, exist_ok=True)
old = os.readlink(base + '/..data') if os.path.islink(base + '/..data') else None
new = '..' + os.urandom(8).hex()
os.mkdir(base + '/' + new)
for name, text in files.items():
    with open(f'{base}/{new}/{name}', 'w') as file: file.write(text)
    os.chmod(f'{base}/{new}/{name}', 0o400)
os.symlink(new, base + '/..data_tmp')
os.rename(base + '/..data_tmp', base + '/..data')
for name in files:
    if not os.path.lexists(f'{base}/{name}'): os.symlink('..data/' + name, f'{base}/{name}')
for name in os.listdir(base):
    if not name.startswith('..') and name not in files: os.unlink(f'{base}/{name}')
if old: shutil.rmtree(f'{base}/{old}')
`;
    await docker(['exec', '-i', this.name, 'python3', '-c', program], JSON.stringify(files));
  }

  /** What the Secret holds; nothing when it is gone. */
  bind(files: Readonly<Record<string, string>>): Promise<void> {
    return this.mount('backup', files);
  }

  unbind(): Promise<void> {
    return this.mount('backup', {});
  }

  /** What the meter last told; undefined before its first word. */
  async report(): Promise<ArchiveReport | undefined> {
    const text = await this.shell(`cat ${reportFile} 2>/dev/null || true`);
    return text === '' ? undefined : archiveReport.parse(JSON.parse(text));
  }

  /** The first report for which `wanted` holds. Throws with the last one and the log. */
  until(wanted: (report: ArchiveReport) => boolean, withinMs = 30_000): Promise<ArchiveReport> {
    return eventually(
      async () => {
        const report = await this.report();
        return report !== undefined && wanted(report) ? report : undefined;
      },
      withinMs,
      async () => `${JSON.stringify(await this.report())}\n${await this.logs()}`,
    );
  }

  /** A connection as the superuser; closed with the member. */
  async connect(): Promise<Client> {
    const client = new Client({
      host: '127.0.0.1',
      port: this.#port,
      user: 'postgres',
      database: 'postgres',
      connectionTimeoutMillis: 10_000,
    });
    // Members are stopped and destroyed under their clients.
    client.on('error', () => undefined);
    await client.connect();
    this.#clients.push(client);
    return client;
  }

  shell(script: string): Promise<string> {
    return docker(['exec', this.name, 'sh', '-c', script]);
  }

  /** Without the checkpoint that Patroni asks for next. */
  async promote(): Promise<void> {
    await this.shell(`pg_ctl promote -D ${paths.data} -w >/dev/null`);
  }

  /** As the kubelet ends a pod. */
  async stop(): Promise<void> {
    await docker(['stop', '--time=60', this.name]);
  }

  /** Starts it again; where data are in memory, they are gone. */
  async restart(): Promise<void> {
    await docker(['start', this.name]);
  }

  /** Gone at once, with its volume. */
  async destroy(): Promise<void> {
    await docker(['rm', '--force', '--volumes', this.name]);
    if (this.#options.onDisk) await docker(['volume', 'rm', '--force', this.name]);
  }

  async logs(): Promise<string> {
    return docker(['logs', '--tail=80', this.name], '', true).catch(String);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map(client => client.end().catch(() => undefined)));
    await this.destroy().catch(() => undefined);
  }
}
