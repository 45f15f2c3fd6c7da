/** Where keys belong, from two sources that must agree: the client library, and the database's own functions. */
import type { Client } from '#client/index.ts';
import type { TestNamespace } from '#test-e2e/support/namespace.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';

/** Slot of each key by PostgreSQL itself. `type` is the key's type in SQL. */
export async function slotsByDatabase(
  namespace: TestNamespace,
  shard: string,
  type: 'bigint' | 'text' | 'uuid',
  keys: readonly (string | bigint)[],
  slots: number,
): Promise<number[]> {
  const hash = { bigint: 'hashint8extended', text: 'hashtextextended', uuid: 'uuid_hash_extended' }[type];
  const list = keys.map(key => `'${String(key).replaceAll("'", "''")}'`).join(', ');
  // The hash functions of text want a collation; keys are compared as COLLATE "C".
  const key = type === 'text' ? 'key COLLATE "C"' : 'key';
  const rows = await superuserSql(
    namespace,
    await namespace.primaryOf(shard),
    `SELECT ${hash}(${key}, 0) & ${slots - 1} FROM unnest(ARRAY[${list}]::${type}[]) WITH ORDINALITY AS k(key, n) ORDER BY n`,
  );
  return rows.map(Number);
}

/** Names of the shards whose table holds a row with this key, asked of every database directly. */
export async function holdersOf(
  namespace: TestNamespace,
  client: Client,
  table: string,
  condition: string,
): Promise<string[]> {
  const shards = (await client.ready()).shards.map(({ name }) => name);
  const counts = await Promise.all(
    shards.map(async shard => {
      const [count] = await superuserSql(
        namespace,
        await namespace.primaryOf(shard),
        `SELECT count(*) FROM ${table} WHERE ${condition}`,
      );
      return { shard, count: Number(count) };
    }),
  );
  return counts.flatMap(({ shard, count }) => Array.from({ length: count }, () => shard));
}
