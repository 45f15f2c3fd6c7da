/** What one end says of itself: everything that the checks look at. Read by facts-sql.ts. */
import { z } from 'zod';

const strings = z.array(z.string());

const column = z.object({
  name: z.string(),
  /** With its modifiers: `numeric(10,2)`. */
  type: z.string(),
  notNull: z.boolean(),
  generated: z.boolean(),
  /** Feeds the column: by default, or as its identity. */
  sequence: z.string().nullable(),
  /** Row filters accept only what comes with the database. */
  collation: z.object({ name: z.string(), deterministic: z.boolean(), builtIn: z.boolean() }).nullable(),
});

/** How rows of a table, or of one of its partitions, are stored and told apart. */
const storage = z.object({
  name: z.string(),
  /** pg_class.relkind: r, p, f, v, ... */
  kind: z.string(),
  unlogged: z.boolean(),
  /** pg_class.relreplident: d, n, f, i. */
  identity: z.string(),
  /** Columns that tell rows apart: of the index that is the replica identity, else of the primary key; null without either. */
  keys: strings.nullable(),
});
export type Storage = z.infer<typeof storage>;

const table = storage.extend({
  owner: z.string(),
  rowSecurity: z.boolean(),
  policies: strings,
  leaves: z.array(storage),
  /** Relatives by INHERITS, which are no partitions. */
  relatives: strings,
  columns: z.array(column),
  uniques: z.array(
    z.object({ name: z.string(), columns: strings, expressions: z.boolean(), random: z.boolean() }),
  ),
  triggers: z.array(
    z.object({
      name: z.string(),
      /** pg_trigger.tgenabled: O, D, R, A. */
      enabled: z.string(),
      beforeUpdate: z.boolean(),
      source: z.string(),
    }),
  ),
  rules: strings,
  /** Everything that must be the same at both ends, a line each. */
  definition: strings,
});
export type TableFacts = z.infer<typeof table>;

const foreignKey = z.object({
  name: z.string(),
  from: z.string(),
  fromColumns: strings,
  to: z.string(),
  toColumns: strings,
});

export const facts = z.object({
  server: z.object({
    version: z.number(),
    walLevel: z.string(),
    encoding: z.string(),
    locale: z.string(),
    maxWalBytes: z.number(),
    databaseBytes: z.number(),
    slots: z.object({ max: z.number(), used: z.number() }),
    /** One for each stream and each session that copies into this end. */
    origins: z.object({ max: z.number(), used: z.number() }),
    senders: z.object({ max: z.number(), used: z.number() }),
    /** Of logical replication; syncPerSubscription of them copy tables at the same time. */
    workers: z.object({ max: z.number(), used: z.number(), syncPerSubscription: z.number() }),
    synchronousStandbys: z.number(),
  }),
  /** In the order of the transfer's tables; absent where there is none. */
  tables: z.array(table),
  foreignKeys: z.array(foreignKey),
  views: z.array(z.object({ name: z.string(), materialized: z.boolean(), invoker: z.boolean() })),
  definers: z.array(
    z.object({
      name: z.string(),
      owner: z.string(),
      language: z.string(),
      volatile: z.boolean(),
      source: z.string(),
    }),
  ),
  eventTriggers: strings,
  extensions: z.record(z.string(), z.string()),
  largeObjects: z.boolean(),
  /** Logins of applications that row security does not bind. */
  unbound: strings,
  /** Logins without a generation that may write to moving tables. */
  otherWriters: strings,
  /** Of clients, in seconds, oldest first. */
  transactions: z.array(z.object({ pid: z.number(), login: z.string(), seconds: z.number() })),
  preparedTransactions: strings,
});

export type DatabaseFacts = z.infer<typeof facts>;

export interface EndFacts extends DatabaseFacts {
  /** Of the volume, if the database's machine told. */
  readonly freeBytes?: number;
}
