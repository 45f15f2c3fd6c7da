/**
 * The files of the Secret `<shard>-backup`: pgBackRest's settings with the store's credentials, the store's authority, and what
 * the meter is to keep. Members mount it at `paths.backup`; that it appears, changes or goes needs no restart. Everything that
 * runs pgBackRest for this shard - members, backups, drills - reads these same files, so no secret is ever an argument.
 */
import type { Shard } from '#crds/api/shard.ts';
import type { MeterSettings, Repository } from '#engines/backup.ts';
import { paths, ports, serverNames } from '../names.ts';
import { namespaceOf } from '../object.ts';

/** Names of the Secret's files; images/postgres knows them too. */
export const repositoryFileNames = {
  settings: 'pgbackrest.conf',
  authority: 'store-ca.crt',
  /** What the archive command wants: the name of the shard's part of the repository, alone. */
  stanza: 'stanza',
  policy: 'policy.json',
} as const;

/** A setting that would not mean in the file what it says. */
export class RepositorySettingError extends Error {
  override readonly name = 'RepositorySettingError';
  readonly code = 'RepositorySetting';
  readonly remedy =
    'Correct the BackupPolicy or its Secrets: values are one line each, the endpoint is https://host[:port].';
}

/** Data of the Secret, by file name. Throws {@link RepositorySettingError}. */
export function repositoryFiles(
  shard: Shard,
  repository: Repository,
  meter: MeterSettings,
): Readonly<Record<string, string>> {
  const { ca } = repository.s3;
  return {
    [repositoryFileNames.settings]: settingsFile(shard, repository),
    [repositoryFileNames.stanza]: repository.stanza,
    [repositoryFileNames.policy]: `${JSON.stringify({
      stanza: repository.stanza,
      rpoSeconds: meter.rpoSeconds,
      version: meter.version,
    })}\n`,
    ...(ca !== undefined && { [repositoryFileNames.authority]: ca }),
  };
}

/**
 * Data of a Secret with which repositories are read that are no member's to write, by file name: those who read say which folder and
 * whose part. Throws {@link RepositorySettingError}.
 */
export function sourceFiles(repository: Omit<Repository, 'stanza'>): Readonly<Record<string, string>> {
  const { ca } = repository.s3;
  return {
    [repositoryFileNames.settings]: section('global', { ...storage(repository), ...conduct }),
    ...(ca !== undefined && { [repositoryFileNames.authority]: ca }),
  };
}

/** The common name of the shard's certificate, whose holders may read the shard's files through pgBackRest's server. */
export function clientName(shard: Shard): string {
  // As it is issued: a common name holds 64 characters.
  return (serverNames(shard.metadata.name, namespaceOf(shard))[0] ?? '').slice(0, 64);
}

/** Where it writes for itself, and what it says where. */
const conduct = {
  'lock-path': '/tmp/pgbackrest/lock',
  'spool-path': '/tmp/pgbackrest/spool',
  'log-path': '/tmp/pgbackrest/log',
  'log-level-file': 'off',
  // Errors on their own channel: standard output is what commands answer.
  'log-level-console': 'off',
  'log-level-stderr': 'warn',
  'log-timestamp': 'n',
} as const;

function settingsFile(shard: Shard, repository: Repository): string {
  return [
    section('global', {
      ...storage(repository),
      ...conduct,
      'compress-type': 'zst',
      'start-fast': 'y',
      'tls-server-address': '*',
      'tls-server-port': String(ports.backup),
      'tls-server-ca-file': `${paths.certificates}/ca.crt`,
      'tls-server-cert-file': `${paths.certificates}/tls.crt`,
      'tls-server-key-file': `${paths.certificates}/tls.key`,
      'tls-server-auth': `${clientName(shard)}=${repository.stanza}`,
    }),
    // A store that does not answer is told within the objective, not after a minute; the archiver asks again anyway.
    section('global:archive-push', { 'io-timeout': '5' }),
    section(repository.stanza, {
      'pg1-path': paths.data,
      'pg1-socket-path': paths.sockets,
    }),
  ].join('\n');
}

function storage({ path, s3, passphrase }: Omit<Repository, 'stanza'>): Record<string, string> {
  return {
    'repo1-type': 's3',
    'repo1-path': `/${path}`,
    'repo1-s3-bucket': s3.bucket,
    'repo1-s3-region': s3.region,
    'repo1-s3-key': s3.accessKeyId,
    'repo1-s3-key-secret': s3.secretAccessKey,
    ...place(s3),
    ...(s3.ca !== undefined && {
      'repo1-storage-ca-file': `${paths.backup}/${repositoryFileNames.authority}`,
    }),
    // Which backups go is the policy's decision, by label; pgBackRest removes none of its own accord.
    'repo1-retention-full-type': 'count',
    'repo1-retention-full': '9999999',
    ...(passphrase !== undefined && {
      'repo1-cipher-type': 'aes-256-cbc',
      'repo1-cipher-pass': passphrase,
    }),
  };
}

/** Stores other than Amazon's are asked by path: they seldom have a certificate for every bucket's name. */
function place(s3: Repository['s3']): Record<string, string> {
  if (s3.endpoint === undefined) return { 'repo1-s3-endpoint': `s3.${s3.region}.amazonaws.com` };
  const endpoint = URL.parse(s3.endpoint);
  if (endpoint === null || endpoint.protocol !== 'https:' || endpoint.pathname !== '/')
    throw new RepositorySettingError(`${s3.endpoint} is not an endpoint of the form https://host[:port]`);
  return {
    'repo1-s3-endpoint': endpoint.hostname,
    'repo1-s3-uri-style': 'path',
    'repo1-storage-port': endpoint.port === '' ? '443' : endpoint.port,
  };
}

function section(name: string, settings: Readonly<Record<string, string>>): string {
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${oneLine(key, value)}`);
  return [`[${name}]`, ...lines, ''].join('\n');
}

/** pgBackRest knows no quotes: a line's end would begin another setting, and blanks at the ends are dropped. */
function oneLine(key: string, value: string): string {
  // The value may be a secret and is not shown.
  if (value === '' || value !== value.trim() || /\p{Cc}/u.test(value))
    throw new RepositorySettingError(`${key} is empty, has blanks at its ends, or more than one line`);
  return value;
}
