/** spec.schema: files applied once each, in order, on every shard; a failing one stops there and says why. */
import { beforeAll, expect, it } from 'vitest';
import { hasCondition } from './support/conditions.ts';
import { fleet, schema, single } from './support/fleet.ts';
import { ShardClusters } from './support/resources.ts';
import { superuserSql } from './support/sql.ts';
import { useNamespace } from './support/use-namespace.ts';

const space = useNamespace('schema');

const first = {
  '01.sql': 'CREATE TABLE users (id bigint PRIMARY KEY); CREATE TABLE applied (file text)',
  '02.sql': "INSERT INTO applied VALUES ('02')",
};

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(schema('schema', first));
  await ns.apply(fleet({ ...single, shards: 1, schema: { configMaps: [{ name: 'schema' }] } }));
  await ns.current();
});

const sql = async (shard: string, text: string): Promise<string[]> =>
  superuserSql(space.current, await space.current.primaryOf(shard), text);

it('applies every file once, as the owner', async () => {
  expect(await sql('fleet-0', 'SELECT file FROM applied')).toEqual(['02']);
  expect(await sql('fleet-0', "SELECT tableowner FROM pg_tables WHERE tablename = 'users'")).toEqual([
    'shardwright_owner',
  ]);
  expect(await sql('fleet-0', 'SELECT count(*) FROM shardwright.schema_file')).toEqual(['2']);
});

it('stops at a failing file and names it with the server’s message; what came before it stays', async () => {
  const ns = space.current;
  await ns.apply(
    schema('schema', {
      ...first,
      '03.sql': "INSERT INTO applied VALUES ('03')",
      '04.sql': "INSERT INTO applied VALUES ('04'); INSERT INTO no_such_table VALUES (1)",
      '05.sql': "INSERT INTO applied VALUES ('05')",
    }),
  );
  const found = await ns.until(
    ShardClusters,
    'fleet',
    hasCondition('SchemaApplied', 'False', 'SchemaFailed'),
  );
  const condition = found.status?.conditions?.find(({ type }) => type === 'SchemaApplied');
  expect(condition?.message).toContain('04.sql');
  expect(condition?.message).toContain('relation "no_such_table" does not exist');
  expect(await sql('fleet-0', 'SELECT file FROM applied ORDER BY 1')).toEqual(['02', '03']);
});

it('goes on after the file was corrected, without repeating what was applied', async () => {
  const ns = space.current;
  await ns.apply(
    schema('schema', {
      ...first,
      '03.sql': "INSERT INTO applied VALUES ('03')",
      '04.sql': "INSERT INTO applied VALUES ('04')",
      '05.sql': "INSERT INTO applied VALUES ('05')",
    }),
  );
  await ns.until(ShardClusters, 'fleet', hasCondition('SchemaApplied', 'True'));
  expect(await sql('fleet-0', 'SELECT file FROM applied ORDER BY 1')).toEqual(['02', '03', '04', '05']);
});

it('gives all files to a shard that comes later', async () => {
  const ns = space.current;
  await ns.kubectl('scale', 'shardcluster/fleet', '--replicas=2');
  await ns.current();
  expect(await sql('fleet-1', 'SELECT file FROM applied ORDER BY 1')).toEqual(['02', '03', '04', '05']);
});

it('says so when an applied file was changed afterwards', async () => {
  const ns = space.current;
  await ns.apply(
    schema('schema', {
      ...first,
      '02.sql': "INSERT INTO applied VALUES ('changed')",
      '03.sql': "INSERT INTO applied VALUES ('03')",
      '04.sql': "INSERT INTO applied VALUES ('04')",
      '05.sql': "INSERT INTO applied VALUES ('05')",
    }),
  );
  // Until a shard has looked at the files the condition is False as well: they are on their way.
  await ns.until(ShardClusters, 'fleet', found => {
    const schemaApplied = found?.status?.conditions?.find(({ type }) => type === 'SchemaApplied');
    return schemaApplied?.status === 'False' && schemaApplied.message.includes('02.sql')
      ? undefined
      : `SchemaApplied is ${schemaApplied?.status}: ${schemaApplied?.message}`;
  });
  expect(await sql('fleet-0', "SELECT count(*) FROM applied WHERE file = 'changed'")).toEqual(['0']);
});
