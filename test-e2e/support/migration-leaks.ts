/**
 * After a migration has ended, whichever way: in every database all is as it was before the first one, no shard holds a row that
 * it does not own, and there are no members, volumes or Shards beyond the map's.
 */
import type { Client, RoutingKey } from '#client/index.ts';
import { labels } from '#crds/api/names.ts';
import { PersistentVolumeClaims, Pods } from '#kernel/resources.ts';
import { loadTables } from '#test-e2e/load/shape.ts';
import { connectClient } from './client.ts';
import type { TestNamespace } from './namespace.ts';
import { superuserSql } from './sql.ts';
import { eventually } from './wait.ts';

/** Everything that a migration could leave behind, one line each; generations in names of logins are left out. */
const tracesSql = `
  SELECT 'publication ' || pubname FROM pg_publication
  UNION ALL SELECT 'subscription ' || subname FROM pg_subscription
  UNION ALL SELECT 'logical slot ' || slot_name FROM pg_replication_slots WHERE slot_type = 'logical'
  UNION ALL SELECT 'replication origin ' || roname FROM pg_replication_origin
  UNION ALL SELECT 'policy ' || polname || ' on ' || polrelid::regclass FROM pg_policy
  UNION ALL SELECT 'row security on ' || oid::regclass FROM pg_class WHERE relrowsecurity OR relforcerowsecurity
  UNION ALL SELECT 'trigger ' || tgname || ' on ' || tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
  UNION ALL SELECT 'login or role ' || regexp_replace(rolname, '_g[0-9]+$', '_g(n)') FROM pg_roles WHERE rolname !~ '^pg_'
  UNION ALL SELECT 'index ' || indexrelid::regclass || CASE WHEN indisvalid THEN '' ELSE ' (invalid)' END
    FROM pg_index WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
  UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc
    WHERE pronamespace IN ('public'::regnamespace, 'shardwright'::regnamespace)
  UNION ALL SELECT 'synchronized_standby_slots is ' || current_setting('synchronized_standby_slots')
  UNION ALL SELECT 'table shardwright.' || relname || ' has rows: ' || (xpath('/row/n/text()',
      query_to_xml(format('SELECT count(*) AS n FROM shardwright.%I', relname), false, true, '')))[1]::text
    FROM pg_class WHERE relnamespace = 'shardwright'::regnamespace AND relkind = 'r'
      AND relname NOT IN ('schema_file', 'broadcast', 'reference_table')`;

export type Traces = readonly string[];

/** Of a fleet that no migration has touched yet: all its databases look the same. */
export async function tracesBefore(namespace: TestNamespace, fleet = 'fleet'): Promise<Traces> {
  const [first] = await namespace.shards(fleet);
  if (first === undefined) throw new Error(`the fleet ${fleet} has no shards`);
  return tracesOf(namespace, first.metadata.name);
}

async function tracesOf(namespace: TestNamespace, shard: string): Promise<Traces> {
  return (await superuserSql(namespace, await namespace.primaryOf(shard), tracesSql)).toSorted();
}

/** Throws when something stays for longer than a minute or two. */
export async function nothingLeft(
  namespace: TestNamespace,
  before: Traces,
  fleet = 'fleet',
  tables: readonly { readonly name: string }[] = loadTables,
): Promise<void> {
  await using client = await connectClient(namespace, fleet);
  await eventually(
    'nothing is left of the migration',
    namespace.name,
    async () => {
      const left = await leftOvers(namespace, client, before, fleet, tables);
      if (left.length === 0) return true;
      throw new Error(left.slice(0, 20).join('\n'));
    },
    { everyMs: 2000 },
  );
}

async function leftOvers(
  namespace: TestNamespace,
  client: Client,
  before: Traces,
  fleet: string,
  tables: readonly { readonly name: string }[],
): Promise<readonly string[]> {
  const names = (await client.ready()).shards.map(({ name }) => name);
  const inDatabases = await Promise.all(
    names.map(async shard => [
      ...difference(shard, before, await tracesOf(namespace, shard)),
      ...(await slotsOfReplicas(namespace, shard)),
      ...(await strangers(namespace, client, shard, tables)),
    ]),
  );
  return [...inDatabases.flat(), ...(await objectsBeyond(namespace, fleet, new Set(names)))];
}

function difference(shard: string, before: Traces, now: Traces): string[] {
  const counts = new Map<string, number>();
  for (const line of now) counts.set(line, (counts.get(line) ?? 0) + 1);
  for (const line of before) counts.set(line, (counts.get(line) ?? 0) - 1);
  return [...counts].flatMap(([line, count]) => {
    if (count === 0) return [];
    return [`${shard}: ${line} ${count > 0 ? `(${count} more than before)` : '(missing)'}`];
  });
}

/** A slot that was carried to a standby, or stayed behind on an old primary, holds WAL there for ever. */
async function slotsOfReplicas(namespace: TestNamespace, shard: string): Promise<string[]> {
  const primary = await namespace.primaryOf(shard);
  const pods = await namespace.list(Pods, `${labels.shard}=${shard}`);
  const found = await Promise.all(
    pods
      .map(({ metadata }) => metadata.name)
      .filter(pod => pod !== primary)
      .map(async pod => {
        const sql = "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical'";
        const slots = await superuserSql(namespace, pod, sql);
        return slots.map(slot => `${pod}: logical slot ${slot}`);
      }),
  );
  return found.flat();
}

/** Rows whose key belongs to another shard by the map. The region's column, if any, comes right after the key's. */
export async function strangers(
  namespace: TestNamespace,
  client: Client,
  shard: string,
  tables: readonly { readonly name: string }[],
): Promise<string[]> {
  const geo = client.map?.ownership.algorithm === 'geo';
  const columns = geo ? "owner || '|' || region" : 'owner';
  const primary = await namespace.primaryOf(shard);
  const found = await Promise.all(
    tables.map(async ({ name }) => {
      const keys = await superuserSql(namespace, primary, `SELECT DISTINCT ${columns} FROM ${name}`);
      return keys
        .filter(key => client.locate(routingKey(key, geo)) !== shard)
        .map(
          key =>
            `${shard}: rows of ${key} in ${name}, which belong to ${client.locate(routingKey(key, geo))}`,
        );
    }),
  );
  return found.flat();
}

function routingKey(text: string, geo: boolean): RoutingKey {
  const [key = '', region = ''] = text.split('|');
  return geo ? { region, key } : key;
}

async function objectsBeyond(
  namespace: TestNamespace,
  fleet: string,
  names: ReadonlySet<string>,
): Promise<string[]> {
  const selector = `${labels.cluster}=${fleet}`;
  const shards = (await namespace.shards(fleet)).map(({ metadata }) => metadata.name);
  const [pods, claims] = await Promise.all([
    namespace.list(Pods, selector),
    namespace.list(PersistentVolumeClaims, selector),
  ]);
  return [
    ...shards.filter(name => !names.has(name)).map(name => `Shard ${name}, which is not in the map`),
    ...[...names].filter(name => !shards.includes(name)).map(name => `no Shard ${name}, which is in the map`),
    ...[...pods, ...claims]
      .filter(({ metadata }) => !names.has(metadata.labels?.[labels.shard] ?? ''))
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`),
  ];
}

/** Rows in all databases together, whoever may see them. */
export async function storedRows(
  namespace: TestNamespace,
  fleet = 'fleet',
): Promise<Readonly<Record<string, number>>> {
  const counts = new Map<string, number>(loadTables.map(({ name }) => [name, 0]));
  for (const { metadata } of await namespace.shards(fleet)) {
    const primary = await namespace.primaryOf(metadata.name);
    for (const name of counts.keys()) {
      const [count] = await superuserSql(namespace, primary, `SELECT count(*) FROM ${name}`);
      counts.set(name, (counts.get(name) ?? 0) + Number(count));
    }
  }
  return Object.fromEntries(counts);
}
