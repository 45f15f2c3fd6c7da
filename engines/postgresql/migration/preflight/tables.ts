/** Checks of the tables: that they are there, the same at both ends, and of a kind that replication carries whole. */
import type { Finding } from '#engines/migration.ts';
import { fullTableName } from '../../sql-text.ts';
import { at, bothEnds, type Check, type Context, caution, failure, listed, movingTables } from './check.ts';

export const tableMissing: Check = context =>
  bothEnds.flatMap(end => {
    const there = new Map(context.facts[end].tables.map(table => [table.name, table.kind]));
    return context.transfer.tables.flatMap(({ name }) => {
      const kind = there.get(fullTableName(name));
      if (kind === 'r' || kind === 'p') return [];
      return [
        failure(
          'TableMissing',
          kind === undefined
            ? `table ${fullTableName(name)} does not exist on ${at(context, end)}`
            : `${fullTableName(name)} on ${at(context, end)} is no table that has rows of its own`,
          'Create it as a table by a schema file, and wait until the shard has applied it.',
        ),
      ];
    });
  });

/** Indexes and constraints may have other names; the order of columns does not matter either. */
export const schemaDiffers: Check = context =>
  movingTables(context).flatMap(({ facts }) => {
    const target = context.facts.target.tables.find(({ name }) => name === facts.name);
    if (!target) return [];
    const lines = [
      ...only(facts.definition, target.definition, 'source'),
      ...only(target.definition, facts.definition, 'target'),
    ];
    if (lines.length === 0) return [];
    return [
      failure(
        'SchemaDiffers',
        `${facts.name} is not the same at both ends: ${listed(lines)}`,
        'Bring both to the same form by a schema file that applies to every shard.',
      ),
    ];
  });

function only(these: readonly string[], those: readonly string[], where: string): readonly string[] {
  const known = new Set(those);
  return these.filter(line => !known.has(line)).map(line => `only the ${where} has ${line}`);
}

export const unloggedTable: Check = context =>
  bothEnds.flatMap(end =>
    movingTables(context, end).flatMap(({ facts }) =>
      [facts, ...facts.leaves]
        .filter(({ unlogged }) => unlogged)
        .map(({ name }) =>
          failure(
            'UnloggedTable',
            `${name} on ${at(context, end)} is unlogged: its changes are not replicated`,
            `ALTER TABLE ${name} SET LOGGED.`,
          ),
        ),
    ),
  );

export const inheritance: Check = context =>
  bothEnds.flatMap(end =>
    movingTables(context, end).flatMap(({ facts }): readonly Finding[] => {
      const foreign = facts.leaves.filter(({ kind }) => kind === 'f').map(({ name }) => name);
      return [
        ...(facts.relatives.length > 0
          ? [
              failure(
                'Inheritance',
                `${facts.name} on ${at(context, end)} and ${listed(facts.relatives)} inherit from each other`,
                'Make them partitions of one table, or tables of their own.',
              ),
            ]
          : []),
        ...(foreign.length > 0
          ? [
              failure(
                'Inheritance',
                `${facts.name} on ${at(context, end)} has foreign tables as partitions: ${listed(foreign)}`,
                'Detach them.',
              ),
            ]
          : []),
      ];
    }),
  );

/** Values that cannot be read back from their text, and those whose text means something in one database only. */
const unreadable =
  /^(pg_node_tree|pg_ndistinct|pg_dependencies|pg_mcv_list|pg_brin_.*|anyarray|pg_ddl_command)(\[\])?$/;
const local = /^(reg[a-z]+|xid8?|cid|tid|aclitem|pg_lsn|pg_snapshot|txid_snapshot)(\[\])?$/;

export const unsupportedReplicaType: Check = context =>
  movingTables(context).flatMap(({ facts }) =>
    facts.columns.flatMap(({ name, type }) => {
      if (unreadable.test(type))
        return [
          failure(
            'UnsupportedReplicaType',
            `${name} of ${facts.name} is ${type}, whose values cannot be given to another database`,
            'Drop the column or keep its content as text.',
          ),
        ];
      if (!local.test(type)) return [];
      return [
        caution(
          'UnsupportedReplicaType',
          `${name} of ${facts.name} is ${type}, whose values mean something in their own database only`,
          'Make sure that nobody relies on them after the move.',
        ),
      ];
    }),
  );

/** The migration's own policies are the only ones that it can reason about. */
export const rowSecurity: Check = context =>
  bothEnds.flatMap(end =>
    movingTables(context, end)
      .filter(({ facts }) => facts.rowSecurity || facts.policies.length > 0)
      .map(({ facts }) =>
        failure(
          'RowSecurity',
          `${facts.name} on ${at(context, end)} has row security of its own${facts.policies.length > 0 ? `: ${listed(facts.policies)}` : ''}`,
          `A migration hides rows by row security and cannot be combined with it: drop the policies and ALTER TABLE ${facts.name} DISABLE ROW LEVEL SECURITY while it runs.`,
        ),
      ),
  );

/** Such triggers fire for replicated rows too: what they do would be done twice. */
export const replicaTriggers: Check = context =>
  bothEnds.flatMap(end =>
    movingTables(context, end).flatMap(({ facts }) =>
      facts.triggers
        .filter(({ enabled }) => enabled === 'A' || enabled === 'R')
        .map(({ name }) =>
          failure(
            'ReplicaTriggers',
            `trigger ${name} of ${facts.name} on ${at(context, end)} fires for replicated rows too, so it would act a second time`,
            `ALTER TABLE ${facts.name} ENABLE TRIGGER ${name}.`,
          ),
        ),
    ),
  );

export const rules: Check = context =>
  movingTables(context)
    .filter(({ facts }) => facts.rules.length > 0)
    .map(({ facts }) =>
      caution(
        'Rules',
        `${facts.name} has rules that rewrite changes: ${listed(facts.rules)}`,
        'Make sure that they write to moving tables only; rules do not act on replicated rows.',
      ),
    );

export const orphanRows: Check = (context: Context) =>
  context.orphans.map(name =>
    failure(
      'OrphanRows',
      `${name} on ${at(context, 'target')} has rows already that the migration would bring`,
      'They are of no running migration: look at them, then delete them on the target as superuser.',
    ),
  );
