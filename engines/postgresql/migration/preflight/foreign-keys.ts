/** The check of references between tables. */
import { fullTableName } from '../../sql-text.ts';
import { type Check, failure } from './check.ts';

/** A reference is checked where the row is written, not where it arrives: it must hold on both ends by what moves together. */
export const foreignKeys: Check = context => {
  const keys = new Map(context.transfer.tables.map(({ name, key }) => [fullTableName(name), key]));
  const references = new Set(
    context.shards.source.spec.sharding.tables
      .filter(({ reference }) => reference)
      .map(({ name }) => fullTableName(name)),
  );
  return context.facts.source.foreignKeys.flatMap(({ name, from, to, fromColumns, toColumns }) => {
    const finding = (why: string, remedy: string) => [
      failure('ForeignKeys', `foreign key ${name} of ${from} refers to ${to}: ${why}`, remedy),
    ];
    const [fromKey, toKey] = [keys.get(from), keys.get(to)];
    if (fromKey === undefined && toKey === undefined) return [];
    if (fromKey === undefined)
      return finding(
        `${from} does not move, ${references.has(from) ? 'as a reference table' : 'as no table of the fleet'}`,
        `Drop the foreign key, or declare ${from} in spec.sharding.tables with the key of ${to}.`,
      );
    if (toKey === undefined) {
      if (references.has(to)) return [];
      return finding(
        `${to} does not move with it`,
        `Drop the foreign key, or declare ${to} in spec.sharding.tables: with its key, or with reference: true.`,
      );
    }
    if (fromColumns.some((column, index) => column === fromKey && toColumns[index] === toKey)) return [];
    return finding(
      `it does not join ${fromKey} to ${toKey}, so it may cross shards`,
      `Make the shard key part of it: FOREIGN KEY (${fromKey}, ...) REFERENCES ${to} (${toKey}, ...).`,
    );
  });
};
