/**
 * A migration between two real PostgreSQL servers under a real API server. The operator is killed before a
 * write to the API server, or before or after a verb in the databases; another one goes on. After each of them: every row is there, once,
 * at its owner, and nothing of the migration is left.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isReady } from '#controllers/testing/fleet-conditions.ts';
import { fleetHarness, fleetSpec, type Harness } from '#controllers/testing/fleet-harness.ts';
import { KillPoint } from '#controllers/testing/kill-point.ts';
import { RealDatabases } from '#controllers/testing/real-databases.ts';
import { untilObject } from '#controllers/testing/until-object.ts';
import { parseShardMigration, type ShardMigration } from '#crds/api/shard-migration.ts';
import { eventually } from '#hack/api-test.ts';
import { ShardMigrations } from './caches.ts';

/** Of all points every so many is walked, so that the walk takes minutes; the simulated databases see all of them. */
const STRIDE = 7;
const ROWS = 500;

let cleanup: AsyncDisposableStack;

beforeEach(() => {
  cleanup = new AsyncDisposableStack();
});

afterEach(() => cleanup.disposeAsync());

const isDone = ({ status }: ShardMigration) => status?.phase === 'Completed';
const isUp = (fleet: Harness) => fleet.until('Ready', isReady);

test('killed at points of a move between real servers, it ends whole', { timeout: 580_000 }, async () => {
  const fleet = await fleetHarness(cleanup);
  const databases = cleanup.use(await RealDatabases.start(fleet.namespace));
  const engine = databases.engine();
  await fleet.client.create({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace: fleet.namespace, name: 'sql' },
    data: { '1.sql': 'CREATE TABLE t (id bigint PRIMARY KEY, v text NOT NULL)' },
  });
  await fleet.apply({ ...fleetSpec, schema: { configMaps: [{ name: 'sql' }] } });
  const first = fleet.start({ engine });
  await isUp(fleet);
  await first[Symbol.asyncDispose]();

  const [a, b] = [await databases.client('fleet-0'), await databases.client('fleet-1')];
  const slot = '(hashint8extended(id, 0) & 255)';
  const fill = (owned: string) =>
    `INSERT INTO public.t SELECT id, 'row ' || id FROM generate_series(1, ${ROWS}) id WHERE ${slot} ${owned}`;
  await a.query(fill('< 128'));
  await b.query(fill('>= 128'));

  let [from, to] = ['fleet-0', 'fleet-1'];
  let [walks, killed] = [0, true];
  for (let n = 0; killed; n += STRIDE) {
    // One walk after the other the database makes the first copy, or the copier.
    const pace = walks % 2 === 0 ? {} : { pace: { maxBytesPerSecond: '1Mi' } };
    killed = await walk(fleet, databases, n, {
      slots: { from, to, ranges: [{ first: 0, last: 31 }] },
      ...pace,
    });
    walks++;
    [from, to] = [to, from];
    const moved = `${slot} < 32`;
    const count = async (client: typeof a, where: string) =>
      Number(
        (await client.query<{ n: string }>(`SELECT count(*) AS n FROM public.t WHERE ${where}`)).rows[0]?.n,
      );
    const [atA, atB] = [await count(a, moved), await count(b, moved)];
    expect(from === 'fleet-1' ? atA : atB, `left behind, killed at ${n}`).toBe(0);
    expect((await count(a, 'true')) + (await count(b, 'true')), `rows, killed at ${n}`).toBe(ROWS);
    expect(await leftIn(a), `killed at ${n}`).toEqual([]);
    expect(await leftIn(b), `killed at ${n}`).toEqual([]);
  }
  expect(walks).toBeGreaterThan(5);
});

async function walk(
  fleet: Harness,
  databases: RealDatabases,
  killBefore: number,
  spec: object,
): Promise<boolean> {
  const { client, namespace } = fleet;
  const name = `walk-${killBefore}`;
  const kill = new KillPoint(killBefore);
  kill.armed = false;
  const migration = async () => parseShardMigration(await client.get(ShardMigrations, { namespace, name }));
  const first = fleet.start({ engine: databases.engine(), guardWrite: kill.pass });
  databases.onVerb = kill.pass;
  await client.create({
    apiVersion: ShardMigrations.apiVersion,
    kind: ShardMigrations.kind,
    metadata: { namespace, name },
    spec: { cluster: { name: 'fleet' }, rollbackWindow: '1ms', ...spec },
  });
  kill.armed = true;
  await eventually(async () => (kill.killed || isDone(await migration()) ? true : undefined), 90_000);
  await first[Symbol.asyncDispose]();
  databases.onVerb = () => undefined;
  const second = fleet.start({ engine: databases.engine() });
  await untilObject(`the end of one killed at ${killBefore}`, migration, isDone, 90_000);
  await isUp(fleet);
  await second[Symbol.asyncDispose]();
  return kill.killed;
}

/** What a migration could leave in a database. */
async function leftIn(database: Awaited<ReturnType<RealDatabases['client']>>): Promise<readonly string[]> {
  const { rows } = await database.query<{ what: string }>(`
    SELECT 'publication ' || pubname AS what FROM pg_publication
    UNION ALL SELECT 'subscription ' || subname FROM pg_subscription
    UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots
    UNION ALL SELECT 'replication origin ' || roname FROM pg_replication_origin
    UNION ALL SELECT 'policy ' || policyname FROM pg_policies WHERE schemaname = 'public'
    UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'public.t'::regclass
    UNION ALL SELECT 'login ' || rolname FROM pg_roles WHERE rolname LIKE 'shardwright_mover%'
    UNION ALL SELECT 'session ' || application_name FROM pg_stat_activity WHERE application_name LIKE 'shardwright\\_%'
    UNION ALL SELECT 'journal ' || id FROM shardwright.transfer`);
  return rows.map(({ what }) => what);
}
