/** The tables of a fleet and the SQL files that define them. */
import { z } from 'zod';
import { identifier, objectName, tableName, text } from './common.ts';
import { listAtomic, listMap, withRules } from './rules.ts';

const source = z.object({
  name: objectName.describe('Name of the ConfigMap.'),
  key: text({
    min: 1,
    max: 253,
    pattern: /^[-._a-zA-Z0-9]+$/,
    message: 'must be a key of the ConfigMap: letters, digits, -, _ and .',
  })
    .exactOptional()
    .describe('One key of it; all keys in alphabetical order if absent.'),
});

export const schemaSources = listAtomic(z.array(source).max(64)).describe(
  'ConfigMaps with SQL files, applied in this order, the keys of each in alphabetical order.',
);

const table = withRules(
  z.object({
    name: withRules(tableName, {
      rule: "!self.matches('^(shardwright|information_schema|pg_[a-z0-9_]*)[.]')",
      message: 'this schema belongs to the operator or the database: put the table into another one',
    }).describe('Name of the table, with its schema if that is not public.'),
    key: identifier
      .exactOptional()
      .describe('Column whose value decides the shard. Rows with equal keys live together. Immutable.'),
    reference: z
      .boolean()
      .exactOptional()
      .describe('The table is whole on every shard; it is written by broadcast only. Immutable.'),
  }),
  {
    rule: 'has(self.key) != (has(self.reference) && self.reference)',
    message: 'write exactly one of key: <column> and reference: true',
  },
  {
    rule: 'has(self.key) == has(oldSelf.key) && (!has(self.key) || self.key == oldSelf.key)',
    message: 'the key of a table is immutable, its rows are placed by it: make a new table and move the rows',
  },
);

export const shardTables = listMap(z.array(table).max(512), 'name');
