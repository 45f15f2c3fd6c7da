/** Checks of what tells rows apart: keys, replica identities, unique indexes and the numbers that sequences give out. */
import { type Check, caution, failure, listed, type MovingTable, movingTables } from './check.ts';
import type { Storage } from './facts.ts';

/** A change or deletion is carried to the other end by the row's identity. */
export const noPrimaryKey: Check = context =>
  movingTables(context).flatMap(({ facts }) =>
    stores(facts)
      .filter(store => store.keys === null || store.identity === 'n')
      .map(store =>
        failure(
          'NoPrimaryKey',
          `${store.name} has no primary key that can identify its rows (one that is deferrable cannot)`,
          `Add a primary key with the shard key in it by a schema file: ALTER TABLE ${facts.name} ADD PRIMARY KEY (...).`,
        ),
      ),
  );

/** The filter decides by the old row too, of which only the identity is known. Without it the source refuses updates. */
export const replicaIdentity: Check = context =>
  movingTables(context).flatMap(({ facts, filter }) =>
    stores(facts).flatMap(store => {
      const { keys } = store;
      if (keys === null || store.identity === 'n') return [];
      const generated = facts.columns.filter(({ name, generated: is }) => is && keys.includes(name));
      if (generated.length > 0)
        return [
          failure(
            'ReplicaIdentity',
            `the replica identity of ${store.name} has the generated column ${listed(generated.map(({ name }) => name))}, which replication does not carry`,
            'Identify the rows by stored columns only: ALTER TABLE ... REPLICA IDENTITY USING INDEX ...',
          ),
        ];
      const missing = filter.filter(column => !keys.includes(column));
      if (missing.length === 0 || store.identity === 'f') return [];
      return [
        failure(
          'ReplicaIdentity',
          `${listed(missing)} decides whether rows of ${store.name} move, and is not part of its replica identity (${keys.join(', ')})`,
          `By a schema file: make ${listed(missing)} part of the primary key, or CREATE UNIQUE INDEX i ON ${store.name} (${[...keys, ...missing].join(', ')}); ALTER TABLE ${store.name} REPLICA IDENTITY USING INDEX i; or as a last resort REPLICA IDENTITY FULL.`,
        ),
      ];
    }),
  );

const columnTypes = {
  bigint: /^(bigint|integer|smallint)$/,
  text: /^(text|character varying(\(\d+\))?)$/,
  uuid: /^uuid$/,
} as const;
const textTypes = columnTypes.text;

/** Row filters take built-in types and collations only, and a key without a value belongs to nobody. */
export const shardKeyType: Check = context =>
  movingTables(context).flatMap(({ declared, facts, filter }) =>
    filter.flatMap(name => {
      const column = facts.columns.find(each => each.name === name);
      const where = `${name} of ${facts.name}`;
      if (!column)
        return [
          failure(
            'ShardKeyType',
            `there is no column ${where}`,
            'Correct the table or spec.sharding by which it is declared.',
          ),
        ];
      const allowed = name === declared.key ? columnTypes[context.transfer.keyType] : textTypes;
      if (!allowed.test(column.type))
        return [
          failure(
            'ShardKeyType',
            `${where} is ${column.type}, which the database cannot tell the shard of`,
            `Make it ${name === declared.key ? context.transfer.keyType : 'text'}: domains, enums, char(n) and citext cannot be used.`,
          ),
        ];
      if (column.collation && !(column.collation.deterministic && column.collation.builtIn))
        return [
          failure(
            'ShardKeyType',
            `${where} has the collation ${column.collation.name}, under which a filter cannot compare`,
            `ALTER TABLE ${facts.name} ALTER COLUMN ${name} TYPE ${column.type} COLLATE "C".`,
          ),
        ];
      if (!column.notNull)
        return [
          failure(
            'ShardKeyType',
            `${where} may be NULL, and such a row belongs to no shard`,
            `ALTER TABLE ${facts.name} ALTER COLUMN ${name} SET NOT NULL.`,
          ),
        ];
      return [];
    }),
  );

/** A key that a trigger changes moves the row out of its partition while it is being copied. Refused while it runs, found before. */
export const keyUpdatedByTriggers: Check = context =>
  movingTables(context).flatMap(({ facts, filter }) =>
    facts.triggers
      .filter(
        ({ beforeUpdate, enabled, source }) =>
          beforeUpdate && enabled !== 'D' && filter.some(column => assigns(source, column)),
      )
      .map(({ name }) =>
        caution(
          'KeyUpdatedByTriggers',
          `trigger ${name} of ${facts.name} seems to set ${listed(filter)} when a row is updated`,
          'Make sure that it never changes the value of an existing row: such an update fails while the migration runs.',
        ),
      ),
  );

function assigns(source: string, column: string): boolean {
  const escaped = column.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&');
  return new RegExp(`\\bnew\\s*\\.\\s*"?${escaped}"?\\s*:?=(?!=)`, 'i').test(source);
}

/** What is unique on each shard alone may meet its like on the other. */
export const uniqueWithoutKey: Check = context =>
  movingTables(context).flatMap(table =>
    table.facts.uniques
      .filter(unique => !unique.columns.includes(table.declared.key))
      .flatMap(unique => {
        const { whole, targetEmpty } = context.transfer;
        const numbered = numbers(table, unique.columns);
        const what = `the unique index ${unique.name} of ${table.facts.name} (${unique.columns.join(', ') || 'expressions'}) does not have the shard key in it`;
        if (unique.random)
          return targetEmpty
            ? []
            : [
                caution(
                  'UniqueWithoutKey',
                  `${what}; values of both shards meet`,
                  'Make sure that its uuids are random; a value that is on both shards stops the copy.',
                ),
              ];
        if (!targetEmpty)
          return [
            failure(
              'UniqueWithoutKey',
              `${what}, and the target has rows of its own: a value that is on both shards stops the copy`,
              `Make ${table.declared.key} part of the index, or take an index on a uuid; or move to a shard that owns nothing.`,
            ),
          ];
        // Numbers of sequences are spoken of by the check for them.
        if (whole || numbered) return [];
        return [
          caution(
            'UniqueWithoutKey',
            `${what}: after the cutover each shard checks its own rows only, and a value that both take stands in the way of rolling back`,
            `Make ${table.declared.key} part of the index, or accept it.`,
          ),
        ];
      }),
  );

/** The gainer's sequences are set ahead of the loser's, so that no number comes twice on one shard; but two shards count apart. */
export const sequences: Check = context => {
  const { whole, targetEmpty } = context.transfer;
  if (whole && targetEmpty) return [];
  return movingTables(context).flatMap(table =>
    table.facts.uniques
      .filter(unique => !unique.columns.includes(table.declared.key) && numbers(table, unique.columns))
      .map(unique =>
        caution(
          'Sequences',
          `${listed(unique.columns)} of ${table.facts.name} is numbered by a sequence of each shard: numbers are unique per shard, not in the fleet`,
          'Sequences are set ahead at the cutover, so that no shard gives out a number twice. To roll back after new rows were made, make the shard key part of the unique index or take uuids.',
        ),
      ),
  );
};

/** All columns of it are numbered. */
function numbers({ facts }: MovingTable, columns: readonly string[]): boolean {
  const sequenced = new Set(
    facts.columns.filter(({ sequence }) => sequence !== null).map(({ name }) => name),
  );
  return columns.length > 0 && columns.every(column => sequenced.has(column));
}

/** Where rows are stored: the table, or its partitions. */
function stores(facts: Storage & { readonly leaves: readonly Storage[] }): readonly Storage[] {
  return facts.leaves.length > 0 ? facts.leaves : [facts];
}
