/**
 * A PostgreSQL 17 of the project's own image in a Docker container, without Patroni: for tests of what a session says to a
 * database. Its data are in memory; it has a certificate of its own making, and the roles that Patroni would have made.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import type { ConnectTarget } from '#engines/engine.ts';

const exec = promisify(execFile);

export interface PostgresContainer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  readonly superuserPassword: string;
  readonly name: string;
  /** Where other containers reach it, on port 5432. */
  readonly address: string;
  /** Keeps the authority's certificate in the container; returns its path there. */
  trust(ca: string): Promise<string>;
}

const superuserPassword = 'super-secret';

/** As what connects to a member of this name is told of it. */
export function targetOf(container: PostgresContainer, member: string): ConnectTarget {
  const { host, port, ca } = container;
  return {
    primary: { name: member, host },
    ca,
    passwords: { superuser: container.superuserPassword, rest: '' },
    ports: { sql: port, rest: 0 },
  };
}

/** A client of the database `social`, not connected yet. `server`: a name in the container's certificate. */
export function connectTo(
  { host, port, ca }: PostgresContainer,
  user: string,
  password: string,
  server = 'social-0.fleet.svc',
): Client {
  const client = new Client({
    host,
    port,
    user,
    password,
    database: 'social',
    ssl: { ca, servername: server },
  });
  // The operator ends sessions of fenced logins; the next query of theirs tells.
  client.on('error', () => undefined);
  return client;
}

function script(names: readonly string[], settings: Readonly<Record<string, string>>): string {
  const subject = names.map(name => `DNS:${name}`).join(',');
  const options = Object.entries(settings).map(([name, value]) => ` -c ${name}=${value}`);
  return `
set -eu
umask 077
cd /tmp
printf %s '${superuserPassword}' > password
curve='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $curve -keyout ca.key -out ca.crt -days 2 -subj '/CN=test authority' 2>/dev/null
openssl req $curve -keyout tls.key -out tls.csr -subj '/CN=test' 2>/dev/null
printf 'subjectAltName=${subject}' > ext
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out tls.crt 2>/dev/null
initdb -D /var/lib/postgresql/data -U postgres --pwfile=password --no-sync \\
  --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C.UTF-8 \\
  --auth-local=peer --auth-host=scram-sha-256 >/dev/null
printf 'hostssl all all all scram-sha-256\\nlocal all all peer\\n' > /var/lib/postgresql/data/pg_hba.conf
printf "CREATE ROLE standby REPLICATION LOGIN;\\n" | postgres --single -D /var/lib/postgresql/data postgres >/dev/null
exec postgres -D /var/lib/postgresql/data -c listen_addresses='*' -c fsync=off -c wal_level=logical \\
  -c ssl=on -c ssl_cert_file=/tmp/tls.crt -c ssl_key_file=/tmp/tls.key -c unix_socket_directories=/tmp${options.join('')}
`;
}

/** `serverNames`: what its certificate carries. `settings`: of postgresql.conf, beside those of the script. */
export async function startPostgres(
  image: string,
  serverNames: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresContainer> {
  const { stdout } = await exec('docker', [
    'run',
    '--detach',
    '--rm',
    // As in a member, somebody else than the server inherits orphans: it would take the end of one for a crash of its own.
    '--init',
    '--publish=127.0.0.1::5432',
    '--tmpfs=/var/lib/postgresql:uid=999,gid=999,mode=0750',
    '--tmpfs=/tmp:uid=999,gid=999',
    image,
    'sh',
    '-c',
    script(serverNames, settings),
  ]);
  const name = stdout.trim();
  const stop = async () => {
    await exec('docker', ['kill', name]).catch(() => undefined);
  };
  try {
    await untilReady(name);
    const ca = await exec('docker', ['exec', name, 'cat', '/tmp/ca.crt']);
    const address = await exec('docker', ['port', name, '5432/tcp']);
    const port = Number(address.stdout.split('\n')[0]?.split(':').at(-1));
    const network = await exec('docker', ['inspect', '--format={{.NetworkSettings.IPAddress}}', name]);
    return {
      host: '127.0.0.1',
      port,
      ca: ca.stdout,
      superuserPassword,
      name,
      address: network.stdout.trim(),
      trust: authority => trust(name, authority),
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    const { stdout: out, stderr } = await exec('docker', ['logs', name]).catch(() => ({
      stdout: '',
      stderr: '',
    }));
    await stop();
    throw new Error(`PostgreSQL did not start in its container: ${out}${stderr}`, { cause: error });
  }
}

async function trust(name: string, authority: string): Promise<string> {
  const path = `/tmp/trusted-${createHash('sha256').update(authority).digest('hex').slice(0, 8)}.crt`;
  const encoded = Buffer.from(authority).toString('base64');
  await exec('docker', ['exec', name, 'sh', '-c', `echo ${encoded} | base64 -d > ${path}`]);
  return path;
}

async function untilReady(name: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      await exec('docker', ['exec', name, 'pg_isready', '-q', '-h', '/tmp']);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(200);
    }
  }
}
