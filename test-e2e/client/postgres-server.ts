/** One shard of a PostgresFleet: a plain PostgreSQL in a container, with a pooler in front of it where a test wants one. */
import type { KeyPair } from '#controllers/pki/authority.ts';
import { run } from '#hack/run.ts';

export interface Server {
  readonly container: string;
  port: number;
  readonly poolerPort: number;
}

const startScript = `
set -e
d=/var/lib/postgresql/data
if [ ! -e $d/PG_VERSION ]; then
  printf '%s' "$PASSWORD" > /tmp/password
  initdb -D $d -U postgres --auth=scram-sha-256 --pwfile=/tmp/password >/dev/null
  printf '%s' "$CERT" > $d/server.crt; (umask 077; printf '%s' "$KEY" > $d/server.key)
  echo 'hostssl all all all scram-sha-256' >> $d/pg_hba.conf
  printf 'local all all trust\\n%s\\n' "$(cat $d/pg_hba.conf)" > $d/hba; mv $d/hba $d/pg_hba.conf
fi
exec postgres -D $d -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off -c ssl=on`;

/** As members run it (engines/postgresql/pooler-settings.ts), as far as clients can tell. */
const poolerScript = `
cat > /tmp/pgbouncer.ini <<'END'
[databases]
postgres = host=/tmp port=5432
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 6432
unix_socket_dir =
pool_mode = transaction
auth_type = scram-sha-256
auth_user = pooler
auth_query = SELECT login, verifier FROM shardwright.pooler_login($1)
default_pool_size = 10
max_prepared_statements = 200
client_tls_sslmode = require
client_tls_cert_file = /var/lib/postgresql/data/server.crt
client_tls_key_file = /var/lib/postgresql/data/server.key
server_login_retry = 0.1
query_wait_timeout = 15
pidfile = /tmp/pgbouncer.pid
END
exec /usr/sbin/pgbouncer -q /tmp/pgbouncer.ini`;

export async function startServer(image: string, tls: KeyPair, password: string): Promise<Server> {
  const container = await run('docker', [
    'run',
    '--detach',
    '--entrypoint=bash',
    '--publish=127.0.0.1::5432',
    '--publish=127.0.0.1::6432',
    '--volume=/var/lib/postgresql',
    `--env=PASSWORD=${password}`,
    `--env=CERT=${tls.certificate}`,
    `--env=KEY=${tls.key}`,
    image,
    '-c',
    startScript,
  ]);
  return { container, port: await portOf(container), poolerPort: await portOf(container, 6432) };
}

export async function portOf(container: string, inside = 5432): Promise<number> {
  const text = await run('docker', ['port', container, `${inside}/tcp`]);
  return Number(text.split(':').at(-1));
}

export async function startPooler(container: string): Promise<void> {
  await run('docker', ['exec', '--detach', container, 'sh', '-c', poolerScript]);
  await run('docker', ['exec', container, 'sh', '-c', 'until [ -e /tmp/pgbouncer.pid ]; do sleep 0.1; done']);
}
