/** Every check on real databases: what it finds, that it finds nothing on sound tables, and that remedies can be carried out. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { End, Finding, Transfer } from '#engines/migration.ts';
import { stableLogin } from './preflight/access.ts';
import { targetDisk, targetTooSmall } from './preflight/capacity.ts';
import type { Context } from './preflight/check.ts';
import type { EndFacts } from './preflight/facts.ts';
import { readFreeBytes } from './preflight/facts-sql.ts';
import {
  encodingDiffers,
  extensionsMissing,
  longTransactions,
  shardNotActive,
  versionSkew,
  walLevel,
} from './preflight/servers.ts';
import {
  RESERVED_ORIGINS,
  senderHeadroom,
  slotHeadroom,
  synchronousStandbyMissing,
  workerHeadroom,
} from './preflight/streams.ts';
import { gather, preflight } from './preflight.ts';
import { startTwoDatabases, type TwoDatabases } from './testing/two-databases.ts';

const schema = `
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE sound (id bigint PRIMARY KEY, mood mood, name text, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON sound (name);
CREATE TABLE events (sound_id bigint NOT NULL REFERENCES sound, at date, body jsonb, PRIMARY KEY (sound_id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE countries (code text PRIMARY KEY);
CREATE VIEW names WITH (security_invoker = true) AS SELECT name FROM sound;
`;
const copier = join(import.meta.dirname, '../../../images/postgres/copier.py');
const tables = [
  { name: 'sound', key: 'id' },
  { name: 'events', key: 'sound_id' },
];

function transferOf(given: Partial<Transfer> = {}): Transfer {
  return {
    id: 'check1',
    migration: 'split-0',
    keyType: 'bigint',
    partition: { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 127 }] },
    whole: false,
    targetEmpty: true,
    tables,
    ...given,
  };
}

let databases: TwoDatabases;
let number = 0;

beforeAll(async () => {
  const spec = {
    members: 1,
    sharding: {
      algorithm: 'hash',
      keyType: 'bigint',
      slots: 256,
      tables: [...tables, { name: 'countries', reference: true }],
      partition: { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 255 }] },
    },
  };
  databases = await startTwoDatabases(schema, spec);
  for (const end of ['source', 'target'] as const) {
    await databases[end].query('SET ROLE shardwright_owner');
  }
});
afterAll(() => databases?.[Symbol.asyncDispose]());

test('sound tables have no finding', async () => {
  const { findings } = await preflight(databases.ends, transferOf());
  expect(findings).toEqual([]);
});

test('looks only: nothing is left behind', async () => {
  const objects = async () => {
    const { rows } = await databases.target
      .query(
        `SELECT (SELECT count(*) FROM pg_class) AS relations, (SELECT count(*) FROM pg_replication_slots) AS slots,
        (SELECT count(*) FROM pg_roles) AS roles, (SELECT count(*) FROM shardwright.transfer) AS transfers`,
      )
      .catch(() => ({ rows: [] }));
    return rows;
  };
  await databases.target.query('RESET ROLE');
  const before = await objects();
  await preflight(databases.ends, transferOf());
  expect(before).toHaveLength(1);
  expect(await objects()).toEqual(before);
  await databases.target.query('SET ROLE shardwright_owner');
});

interface Case {
  readonly check: string;
  readonly severity?: 'error' | 'warning';
  /** Run at both ends, or at one. $T: a table of this case alone. */
  readonly both?: string;
  readonly source?: string;
  readonly target?: string;
  readonly says: RegExp;
  readonly transfer?: Partial<Transfer>;
  readonly tables?: readonly { readonly name: string; readonly key: string }[];
  /** Carries out what the remedy says; the finding is gone then. */
  readonly remedy?: string;
  /** As superuser. */
  readonly privileged?: boolean;
}

const keyed = 'CREATE TABLE $T (id bigint PRIMARY KEY, name text)';
const cases: readonly Case[] = [
  { check: 'TableMissing', source: keyed, says: /does not exist on social-1 \(target\)/ },
  {
    check: 'TableMissing',
    both: 'CREATE VIEW $T WITH (security_invoker) AS SELECT 1::bigint AS id',
    says: /no table/,
    remedy: `DROP VIEW $T; ${keyed}`,
  },
  {
    check: 'SchemaDiffers',
    both: keyed,
    target: 'ALTER TABLE $T ADD age int',
    says: /only the target has column age integer/,
    remedy: 'ALTER TABLE $T ADD IF NOT EXISTS age int',
  },
  {
    check: 'SchemaDiffers',
    both: keyed,
    source: 'ALTER TABLE $T ALTER name TYPE varchar(9)',
    says: /only the source has column name character varying\(9\)/,
  },
  {
    check: 'SchemaDiffers',
    both: keyed,
    source: 'CREATE INDEX ON $T (name)',
    says: /only the source has index CREATE INDEX ON public.* USING btree \(name\)/,
  },
  {
    check: 'SchemaDiffers',
    both: keyed,
    source: "ALTER TABLE $T ALTER name SET DEFAULT 'x'",
    says: /default 'x'::text/,
  },
  {
    check: 'SchemaDiffers',
    both: keyed,
    target: 'ALTER TABLE $T ADD CHECK (id > 0)',
    says: /only the target has constraint CHECK/,
  },
  {
    check: 'SchemaDiffers',
    both: 'CREATE TABLE $T (id bigint PRIMARY KEY, n int)',
    source: 'ALTER TABLE $T DROP n, ADD n int GENERATED ALWAYS AS (id + 1) STORED',
    says: /generated/,
  },
  {
    check: 'SchemaDiffers',
    both: "CREATE TYPE $T_mood AS ENUM ('a'); CREATE TABLE $T (id bigint PRIMARY KEY, m $T_mood)",
    source: "ALTER TYPE $T_mood ADD VALUE 'b'",
    says: /type public\..*'a', 'b'/,
  },
  {
    check: 'NoPrimaryKey',
    both: 'CREATE TABLE $T (id bigint NOT NULL)',
    says: /has no primary key/,
    remedy: 'ALTER TABLE $T ADD PRIMARY KEY (id)',
  },
  { check: 'NoPrimaryKey', both: 'CREATE TABLE $T (id bigint PRIMARY KEY DEFERRABLE)', says: /deferrable/ },
  {
    check: 'NoPrimaryKey',
    both: `${keyed}; ALTER TABLE $T REPLICA IDENTITY NOTHING`,
    says: /has no primary key/,
    remedy: 'ALTER TABLE $T REPLICA IDENTITY DEFAULT',
  },
  {
    check: 'ReplicaIdentity',
    both: 'CREATE TABLE $T (message uuid PRIMARY KEY, id bigint NOT NULL)',
    says: /^id decides whether rows of public.* move, and is not part of its replica identity \(message\)/,
    remedy: 'CREATE UNIQUE INDEX $T_i ON $T (message, id); ALTER TABLE $T REPLICA IDENTITY USING INDEX $T_i',
  },
  {
    check: 'ReplicaIdentity',
    both: 'CREATE TABLE $T (message uuid PRIMARY KEY, id bigint NOT NULL)',
    says: /is not part/,
    remedy: 'ALTER TABLE $T REPLICA IDENTITY FULL',
  },
  {
    check: 'ReplicaIdentity',
    both: 'CREATE TABLE $T (id bigint, twice bigint GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id, twice))',
    says: /generated column twice/,
  },
  {
    check: 'ReplicaIdentity',
    both: 'CREATE TABLE $T (id bigint, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); CREATE TABLE $T_1 PARTITION OF $T DEFAULT; CREATE UNIQUE INDEX $T_u ON $T_1 (at); ALTER TABLE $T_1 ALTER at SET NOT NULL, REPLICA IDENTITY USING INDEX $T_u',
    says: /rows of public\.\w+_1 move/,
  },
  {
    check: 'ShardKeyType',
    both: 'CREATE TABLE $T (id numeric PRIMARY KEY)',
    says: /id of public.* is numeric/,
  },
  {
    check: 'ShardKeyType',
    both: 'CREATE DOMAIN $T_d AS bigint; CREATE TABLE $T (id $T_d PRIMARY KEY)',
    says: /_d, which the database/,
  },
  {
    check: 'ShardKeyType',
    both: 'CREATE TABLE $T (key bigint PRIMARY KEY)',
    says: /there is no column id of/,
  },
  {
    check: 'ShardKeyType',
    both: 'CREATE TABLE $T (n bigint PRIMARY KEY, id bigint); ALTER TABLE $T REPLICA IDENTITY FULL',
    says: /may be NULL/,
    remedy: 'ALTER TABLE $T ALTER id SET NOT NULL',
  },
  {
    check: 'ShardKeyType',
    both: `CREATE COLLATION $T_c (provider = icu, locale = 'und-u-ks-level2', deterministic = false); CREATE TABLE $T (id text COLLATE $T_c PRIMARY KEY)`,
    transfer: { keyType: 'text' },
    says: /has the collation/,
    remedy: 'ALTER TABLE $T ALTER id TYPE text COLLATE "C"',
  },
  {
    check: 'ShardKeyType',
    both: `CREATE TYPE $T_r AS ENUM ('eu', 'us'); CREATE TABLE $T (id bigint, region $T_r, PRIMARY KEY (region, id))`,
    transfer: {
      regionColumn: 'region',
      partition: {
        kind: 'regions',
        slots: 256,
        regions: [{ region: 'eu', ranges: [{ first: 0, last: 255 }] }],
      },
    },
    says: /region of public.* is public.*_r/,
    remedy: 'ALTER TABLE $T ALTER region TYPE text',
  },
  {
    check: 'KeyUpdatedByTriggers',
    severity: 'warning',
    both: `${keyed}; CREATE FUNCTION $T_f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW."id" := NEW.id + 1; RETURN NEW; END$$; CREATE TRIGGER t BEFORE UPDATE ON $T FOR EACH ROW EXECUTE FUNCTION $T_f()`,
    says: /trigger t of .* seems to set id/,
    remedy: 'DROP TRIGGER t ON $T',
  },
  {
    check: 'UniqueWithoutKey',
    both: `${keyed}; CREATE UNIQUE INDEX $T_name ON $T (name)`,
    transfer: { targetEmpty: false },
    says: /_name of .* \(name\) does not have the shard key in it, and the target has rows/,
  },
  {
    check: 'UniqueWithoutKey',
    severity: 'warning',
    both: `${keyed}; CREATE UNIQUE INDEX $T_name ON $T (name)`,
    says: /rolling back/,
    remedy: 'DROP INDEX $T_name; CREATE UNIQUE INDEX ON $T (name, id)',
  },
  {
    check: 'UniqueWithoutKey',
    severity: 'warning',
    both: 'CREATE TABLE $T (id bigint PRIMARY KEY, token uuid UNIQUE)',
    transfer: { targetEmpty: false },
    says: /_token_key/,
  },
  {
    check: 'Sequences',
    severity: 'warning',
    both: 'CREATE TABLE $T (message bigserial PRIMARY KEY, id bigint NOT NULL); ALTER TABLE $T REPLICA IDENTITY FULL',
    says: /message of .* is numbered by a sequence of each shard/,
  },
  {
    check: 'Sequences',
    severity: 'warning',
    both: 'CREATE TABLE $T (message bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id bigint NOT NULL); ALTER TABLE $T REPLICA IDENTITY FULL',
    says: /numbered/,
  },
  {
    check: 'ForeignKeys',
    both: `CREATE TABLE $T_other (code text PRIMARY KEY); CREATE TABLE $T (id bigint PRIMARY KEY, code text REFERENCES $T_other)`,
    says: /_other does not move with it/,
    remedy: 'ALTER TABLE $T DROP CONSTRAINT $T_code_fkey',
  },
  {
    check: 'ForeignKeys',
    both: `${keyed}; CREATE TABLE $T_other (id bigint REFERENCES $T)`,
    says: /_other does not move, as no table of the fleet/,
  },
  {
    check: 'ForeignKeys',
    both: `${keyed}; ALTER TABLE countries ADD capital bigint REFERENCES $T`,
    says: /as a reference table/,
    remedy: 'ALTER TABLE countries DROP capital',
  },
  {
    check: 'ForeignKeys',
    both: `${keyed}; CREATE TABLE $T_b (id bigint PRIMARY KEY, friend bigint REFERENCES $T)`,
    tables: [{ name: '$T_b', key: 'id' }],
    says: /does not join id to id/,
  },
  {
    check: 'UnloggedTable',
    both: 'CREATE UNLOGGED TABLE $T (id bigint PRIMARY KEY)',
    says: /is unlogged/,
    remedy: 'ALTER TABLE $T SET LOGGED',
  },
  {
    check: 'Inheritance',
    both: `${keyed}; CREATE TABLE $T_child () INHERITS ($T)`,
    says: /inherit from each other/,
    remedy: 'ALTER TABLE $T_child NO INHERIT $T',
  },
  {
    check: 'Inheritance',
    privileged: true,
    both: `CREATE EXTENSION file_fdw; CREATE SERVER $T_s FOREIGN DATA WRAPPER file_fdw; CREATE TABLE $T (id bigint NOT NULL, at int NOT NULL) PARTITION BY RANGE (at); CREATE FOREIGN TABLE $T_1 PARTITION OF $T DEFAULT SERVER $T_s OPTIONS (filename '/dev/null')`,
    says: /foreign tables as partitions: public\.\w+_1/,
  },
  {
    check: 'UnsupportedReplicaType',
    both: 'CREATE TABLE $T (id bigint PRIMARY KEY, s pg_ndistinct)',
    says: /s of .* is pg_ndistinct/,
    remedy: 'ALTER TABLE $T DROP s',
  },
  {
    check: 'UnsupportedReplicaType',
    severity: 'warning',
    both: 'CREATE TABLE $T (id bigint PRIMARY KEY, c regclass)',
    says: /c of .* is regclass/,
  },
  {
    check: 'RowSecurity',
    both: `${keyed}; ALTER TABLE $T ENABLE ROW LEVEL SECURITY`,
    says: /has row security of its own/,
    remedy: 'ALTER TABLE $T DISABLE ROW LEVEL SECURITY',
  },
  {
    check: 'RowSecurity',
    target: `${keyed}; CREATE POLICY mine ON $T`,
    source: keyed,
    says: /social-1 \(target\) has row security of its own: mine/,
  },
  {
    check: 'ReplicaTriggers',
    both: `${keyed}; CREATE FUNCTION $T_f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$; CREATE TRIGGER t AFTER INSERT ON $T FOR EACH ROW EXECUTE FUNCTION $T_f(); ALTER TABLE $T ENABLE ALWAYS TRIGGER t`,
    says: /trigger t of .* fires for replicated rows/,
    remedy: 'ALTER TABLE $T ENABLE TRIGGER t',
  },
  {
    check: 'Rules',
    severity: 'warning',
    both: `${keyed}; CREATE RULE r AS ON DELETE TO $T DO INSTEAD NOTHING`,
    says: /rewrite changes: r/,
    remedy: 'DROP RULE r ON $T',
  },
  {
    check: 'ExtensionsMissing',
    both: keyed,
    privileged: true,
    source: 'CREATE EXTENSION IF NOT EXISTS citext',
    says: /extension citext/,
    remedy: 'CREATE EXTENSION IF NOT EXISTS citext',
  },
  {
    check: 'LargeObjects',
    privileged: true,
    both: 'CREATE TABLE $T (id bigint PRIMARY KEY, picture oid)',
    source: 'SELECT lo_create(4711)',
    says: /picture may refer to them/,
  },
  {
    check: 'LargeObjects',
    severity: 'warning',
    both: keyed,
    says: /has large objects: they do not move/,
    privileged: true,
    remedy: 'SELECT lo_unlink(oid) FROM pg_largeobject_metadata',
  },
  {
    check: 'LargeObjects',
    severity: 'warning',
    both: 'CREATE TABLE $T (id bigint PRIMARY KEY, picture oid)',
    says: /object ids, which mean nothing/,
  },
  {
    check: 'OwnerRole',
    privileged: true,
    both: keyed,
    says: /belongs to postgres/,
    remedy: 'ALTER TABLE $T OWNER TO shardwright_owner',
  },
  {
    check: 'OwnerRole',
    privileged: true,
    both: `${keyed}; ALTER TABLE $T OWNER TO shardwright_owner`,
    source: 'CREATE ROLE app_g7 LOGIN BYPASSRLS',
    says: /login app_g7/,
    remedy: 'ALTER ROLE app_g7 NOBYPASSRLS',
  },
  {
    check: 'OwnerRole',
    privileged: true,
    both: `${keyed}; ALTER TABLE $T OWNER TO shardwright_owner`,
    source: 'GRANT shardwright_owner TO app_g7',
    says: /login app_g7/,
    remedy: 'REVOKE shardwright_owner FROM app_g7',
  },
  {
    check: 'StableLogin',
    privileged: true,
    both: `${keyed}; ALTER TABLE $T OWNER TO shardwright_owner`,
    source: 'CREATE ROLE reporting LOGIN; GRANT INSERT ON $T TO reporting',
    says: /login reporting on social-0/,
    remedy: 'ALTER ROLE reporting NOLOGIN',
  },
  {
    check: 'SecurityDefiner',
    both: `${keyed}; CREATE FUNCTION $T_f() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM $T'`,
    says: /_f\(\) on .* runs with the rights of shardwright_owner and may write/,
    remedy: 'ALTER FUNCTION $T_f() SECURITY INVOKER',
  },
  {
    check: 'SecurityDefiner',
    both: `${keyed}; CREATE FUNCTION $T_f() RETURNS void LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC DELETE FROM $T; END`,
    says: /may write/,
    remedy: 'DROP FUNCTION $T_f()',
  },
  {
    check: 'SecurityDefiner',
    severity: 'warning',
    both: `${keyed}; CREATE FUNCTION $T_f() RETURNS bigint STABLE LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM $T'`,
    says: /sees rows that the migration hides/,
    remedy: 'DROP FUNCTION $T_f()',
  },
  {
    check: 'ViewsOfOwner',
    both: `${keyed}; CREATE VIEW $T_v AS SELECT * FROM $T`,
    says: /_v on .* reads moving tables with its owner/,
    remedy: 'ALTER VIEW $T_v SET (security_invoker = true)',
  },
  {
    check: 'ViewsOfOwner',
    both: `${keyed}; CREATE VIEW $T_v WITH (security_invoker) AS SELECT * FROM $T; CREATE VIEW $T_w AS SELECT * FROM $T_v`,
    says: /_w on/,
    remedy: 'ALTER VIEW $T_w SET (security_invoker = true)',
  },
  {
    check: 'ViewsOfOwner',
    severity: 'warning',
    both: `${keyed}; CREATE MATERIALIZED VIEW $T_m AS SELECT * FROM $T`,
    says: /copies of moving rows: public.*_m/,
    remedy: 'DROP MATERIALIZED VIEW $T_m',
  },
  {
    check: 'OrphanRows',
    both: keyed,
    target: 'INSERT INTO $T SELECT 1',
    says: /has rows already that the migration would bring/,
    remedy: 'DELETE FROM $T',
  },
  {
    check: 'OrphanRows',
    both: keyed,
    transfer: { targetEmpty: false },
    target: 'INSERT INTO $T SELECT generate_series(1, 20)',
    says: /rows already/,
    remedy: 'DELETE FROM $T WHERE (hashint8extended(id, 0) & 255) <= 127',
  },
  {
    check: 'EventTriggers',
    severity: 'warning',
    privileged: true,
    both: `${keyed}; ALTER TABLE $T OWNER TO shardwright_owner; CREATE FUNCTION $T_f() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$; CREATE EVENT TRIGGER $T_e ON ddl_command_start EXECUTE FUNCTION $T_f()`,
    says: /has event triggers/,
    remedy: 'DROP EVENT TRIGGER $T_e',
  },
];

describe.each(cases)('$check', given => {
  test(`${given.severity ?? 'error'}: ${given.says.source}`, async () => {
    const table = `case_${++number}`;
    const named = (text: string) => text.replaceAll('$T', table);
    const run = async (end: End, sql: string | undefined) => {
      if (sql === undefined) return;
      if (given.privileged) await databases[end].query('RESET ROLE');
      await databases[end].query(named(sql));
      await databases[end].query('SET ROLE shardwright_owner');
    };
    const transfer = transferOf({
      tables: [
        { name: table, key: 'id' },
        ...(given.tables ?? []).map(({ name, key }) => ({ name: named(name), key })),
      ],
      ...given.transfer,
    });
    const found = async (): Promise<readonly Finding[]> => {
      const { findings } = await preflight(databases.ends, transfer);
      return findings.filter(({ check }) => check === given.check);
    };
    for (const end of ['source', 'target'] as const) await run(end, given.both);
    await run('source', given.source);
    await run('target', given.target);
    const findings = await found();
    expect(findings).not.toEqual([]);
    expect(findings[0]).toMatchObject({
      severity: given.severity ?? 'error',
      message: expect.stringMatching(given.says),
      remedy: expect.stringMatching(/\w{3}.*\.$/),
    });
    if (given.remedy === undefined) return;
    for (const end of ['source', 'target'] as const) await run(end, given.remedy);
    expect(await found()).toEqual([]);
  });
});

test('open transactions of clients are seen, with their logins', async () => {
  const open = await databases.connect('source');
  await open.query('BEGIN; SELECT 1');
  const { facts } = await gather(databases.ends, transferOf());
  expect(facts.source.transactions).toContainEqual({
    pid: expect.any(Number),
    login: 'postgres',
    seconds: expect.any(Number),
  });
  await open.query('ROLLBACK');
  await open.end();
});

function withoutFreeBytes({ freeBytes, ...facts }: EndFacts): EndFacts {
  expect(freeBytes).toBeGreaterThan(0);
  return facts;
}

describe('facts that a test cannot make', () => {
  let context: Context;
  beforeAll(async () => {
    context = await gather(databases.ends, transferOf());
  });
  const changed = (
    end: End,
    facts: Partial<Context['facts']['source']>,
    rest: Partial<Context> = {},
  ): Context => ({
    ...context,
    ...rest,
    facts: { ...context.facts, [end]: { ...context.facts[end], ...facts } },
  });
  const withServer = (end: End, server: Partial<Context['facts']['source']['server']>) =>
    changed(end, { server: { ...context.facts[end].server, ...server } });
  const withSpec = (end: End, spec: Partial<Context['shards']['source']['spec']>): Context => {
    const shard = context.shards[end];
    return {
      ...context,
      shards: { ...context.shards, [end]: { ...shard, spec: { ...shard.spec, ...spec } } },
    };
  };

  test.each<[string, () => readonly Finding[], 'error' | 'warning', RegExp]>([
    [
      'wal_level',
      () => walLevel(withServer('source', { walLevel: 'replica' })),
      'error',
      /wal_level of social-0 \(source\) is replica/,
    ],
    [
      'an old version',
      () => versionSkew(withServer('target', { version: 160_004 })),
      'error',
      /PostgreSQL 16/,
    ],
    [
      'another version',
      () => versionSkew(withServer('target', { version: 180_001 })),
      'warning',
      /17, the target 18/,
    ],
    [
      'another encoding',
      () => encodingDiffers(withServer('target', { encoding: 'LATIN1' })),
      'error',
      /LATIN1/,
    ],
    [
      'another locale',
      () => encodingDiffers(withServer('target', { locale: 'i de' })),
      'warning',
      /target i de/,
    ],
    [
      'an older extension',
      () =>
        extensionsMissing(
          changed('target', { extensions: { ...context.facts.source.extensions, plpgsql: '0.9' } }),
        ),
      'warning',
      /plpgsql is 1.0 at the source and 0.9/,
    ],
    [
      'no slot left',
      () => slotHeadroom(withServer('source', { slots: { max: 10, used: 10 } })),
      'error',
      /has 0 of max_replication_slots left; a migration takes 3/,
    ],
    [
      'few slots left',
      () => slotHeadroom(withServer('source', { slots: { max: 10, used: 8 } })),
      'warning',
      /2 of max_replication_slots/,
    ],
    [
      'no sender left',
      () => senderHeadroom(withServer('target', { senders: { max: 10, used: 9 } })),
      'error',
      /1 of max_wal_senders/,
    ],
    [
      'no worker left',
      () => workerHeadroom(withServer('target', { workers: { max: 4, used: 4, syncPerSubscription: 2 } })),
      'error',
      /0 of max_logical/,
    ],
    [
      'the last worker at the source',
      () => workerHeadroom(withServer('source', { workers: { max: 4, used: 4, syncPerSubscription: 2 } })),
      'error',
      /a migration takes 1/,
    ],
    [
      'no worker for copies',
      () => workerHeadroom(withServer('target', { workers: { max: 9, used: 0, syncPerSubscription: 0 } })),
      'error',
      /is 0: nothing would be copied/,
    ],
    [
      'a readonly shard',
      () => shardNotActive(withSpec('target', { state: 'readonly' })),
      'error',
      /social-1 \(target\) is readonly/,
    ],
    [
      'no synchronous replica',
      () => synchronousStandbyMissing(withSpec('source', { members: 2 })),
      'warning',
      /no synchronous replica/,
    ],
    [
      'a transaction that has been open for long',
      () =>
        longTransactions(changed('source', { transactions: [{ pid: 7, login: 'app_g1', seconds: 90.4 }] })),
      'warning',
      /app_g1 \(pid 7\) for 90 s/,
    ],
    [
      'a prepared transaction',
      () => longTransactions(changed('source', { preparedTransactions: ['gid-1'] })),
      'error',
      /prepared transactions: gid-1/,
    ],
    [
      'the stable login',
      () =>
        stableLogin(
          withSpec('target', { access: { ...context.shards.target.spec.access, stableLogin: true } }),
        ),
      'error',
      /social-1 \(target\) has the stable login app/,
    ],
    [
      'a full volume',
      () =>
        targetDisk(
          changed('target', { freeBytes: 1000 }, { estimate: { rows: 9, bytes: 5000, totalBytes: 9000 } }),
        ),
      'error',
      /has 1 MB left/,
    ],
    [
      'a volume of unknown size',
      () =>
        targetDisk({
          ...context,
          facts: { ...context.facts, target: withoutFreeBytes(context.facts.target) },
        }),
      'warning',
      /could not be read/,
    ],
    [
      'a volume that is too small',
      () => targetTooSmall({ ...context, estimate: { rows: 9, bytes: 1, totalBytes: 2 ** 30 } }),
      'error',
      /has volumes of 1Gi/,
    ],
  ])('%s', (_, look, severity, says) => {
    expect(look()).toMatchObject([
      { severity, message: expect.stringMatching(says), remedy: expect.any(String) },
    ]);
  });
});

/** Others have taken all but so many. */
async function leaveOrigins(free: number): Promise<void> {
  await databases.target.query(
    `SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname LIKE 'other\\_%'`,
  );
  await databases.target.query(
    `SELECT pg_replication_origin_create('other_' || n)
     FROM generate_series(1, current_setting('max_replication_slots')::bigint - $1) n`,
    [free],
  );
}

const paced = (parallel: number) =>
  transferOf({ pace: { parallel, maxReplicaLagBytes: 1e9, maxCommitLatencyMs: 1e6 } });

async function saidOf(transfer: Transfer): Promise<readonly string[]> {
  const { findings } = await preflight(databases.ends, transfer);
  return findings.map(({ check, severity, message }) => `${check} ${severity}: ${message}`);
}

const headroom = (given: Context) =>
  [slotHeadroom, senderHeadroom, workerHeadroom].flatMap(check => check(given));

describe('replication origins, of which each session of the copier takes one', () => {
  const what = 'of the replication origins that max_replication_slots allows left; a migration takes';
  const target = 'social-1 (target) has';

  beforeAll(async () => {
    await databases.target.query('RESET ROLE');
    return async () => {
      await leaveOrigins(Number.MAX_SAFE_INTEGER);
      await databases.target.query('SET ROLE shardwright_owner');
    };
  });

  test('the check and the program leave as many to others', async () => {
    expect(await readFile(copier, 'utf8')).toMatch(
      new RegExp(`^RESERVED_ORIGINS = ${RESERVED_ORIGINS}$`, 'm'),
    );
  });

  test('all sessions and the stream have one, and four are left to others', async () => {
    await leaveOrigins(8);
    expect(await saidOf(paced(3))).toEqual([]);
    await leaveOrigins(7);
    expect(await saidOf(paced(3))).toEqual([
      `SlotHeadroom warning: ${target} 7 ${what} 8 to copy at full speed`,
    ]);
    const { findings } = await preflight(databases.ends, paced(3));
    expect(findings[0]?.remedy).toBe(
      'Raise max_replication_slots in spec.engine.parameters, lower spec.pace.parallel, or wait for other migrations to end.',
    );
    // What the remedies say, and what the database's own copy takes.
    expect(await saidOf(paced(2))).toEqual([]);
    expect(await saidOf(transferOf())).toEqual([]);
  });

  test('one session is enough to get on', async () => {
    await leaveOrigins(2);
    expect(await saidOf(paced(1))).toEqual([]);
    expect(await saidOf(paced(2))).toEqual([expect.stringContaining('SlotHeadroom warning')]);
    await leaveOrigins(1);
    expect(await saidOf(paced(1))).toEqual([`SlotHeadroom error: ${target} 1 ${what} 2`]);
    expect(await saidOf(transferOf())).toEqual([`SlotHeadroom error: ${target} 1 ${what} 3`]);
  });

  test('the source needs one for the stream back', async () => {
    await leaveOrigins(0);
    expect(await saidOf(paced(1))).toEqual([
      `SlotHeadroom error: social-0 (source) has 0 ${what} 1`,
      `SlotHeadroom error: ${target} 0 ${what} 2`,
    ]);
  });

  test('the copier takes no more slots, senders and workers than the stream alone', async () => {
    await leaveOrigins(20);
    const { facts, ...rest } = await gather(databases.ends, paced(3));
    const last = { max: 4, used: 3 };
    const tight = (end: End) => {
      const server = { slots: last, senders: last, workers: { ...last, syncPerSubscription: 0 } };
      return { ...facts[end], server: { ...facts[end].server, ...server } };
    };
    const context = { ...rest, facts: { source: tight('source'), target: tight('target') } };
    expect(headroom(context)).toEqual([]);
    expect(headroom({ ...context, transfer: transferOf() })).not.toEqual([]);
  });
});

test('free space is what the volume has', async () => {
  const bytes = await readFreeBytes(databases.ends.target.client);
  expect(bytes).toBeGreaterThan(100 * 2 ** 20);
});

test('the estimate follows the slots that move and the size of the tables', async () => {
  await databases.source.query(
    `INSERT INTO sound SELECT i, 'good', repeat('x', 100) FROM generate_series(1, 20000) i; ANALYZE sound`,
  );
  const { estimate: half } = await preflight(databases.ends, transferOf());
  expect(half.rows).toBeGreaterThan(9000);
  expect(half.rows).toBeLessThan(12_000);
  expect(half.bytes).toBeGreaterThan(1_000_000);
  const { estimate: all } = await preflight(databases.ends, transferOf({ whole: true }));
  expect(all.rows).toBeGreaterThan(19_000);
  const keys = await preflight(
    databases.ends,
    transferOf({ partition: { kind: 'keys', ranges: [{ from: '1', to: '5001' }] } }),
  );
  expect(keys.estimate.rows).toBeGreaterThan(4000);
  expect(keys.estimate.rows).toBeLessThan(7000);
});

test('a partition that cannot be told apart is a finding, not a failure', async () => {
  const { findings } = await preflight(
    databases.ends,
    transferOf({ targetEmpty: false, partition: { kind: 'directory', entries: [], fallback: true } }),
  );
  expect(findings).toMatchObject([{ check: 'PartitionUnsupported', severity: 'error' }]);
});
