/** Checks of the two servers: what they are, what they have installed, and who is busy on them. */
import { at, bothEnds, type Check, caution, failure, listed } from './check.ts';

/** Streams with an origin filter and slots that fail over are of this version on. */
const OLDEST_VERSION = 170_000;
/** A slot is made when all transactions have ended that were open before. */
const LONG_SECONDS = 60;

export const shardNotActive: Check = context =>
  bothEnds.flatMap(end => {
    const { state } = context.shards[end].spec;
    if (state === 'active') return [];
    return [
      failure(
        'ShardNotActive',
        `${at(context, end)} is ${state}`,
        'Set its state to active, or wait until that is done.',
      ),
    ];
  });

export const walLevel: Check = context =>
  bothEnds.flatMap(end => {
    const { walLevel: level } = context.facts[end].server;
    if (level === 'logical') return [];
    return [
      failure(
        'WalLevel',
        `wal_level of ${at(context, end)} is ${level}`,
        'The operator sets it to logical: restart the member, its settings are waiting for that.',
      ),
    ];
  });

export const versionSkew: Check = context => {
  const [source, target] = [context.facts.source.server, context.facts.target.server];
  const old = bothEnds.filter(end => context.facts[end].server.version < OLDEST_VERSION);
  if (old.length > 0)
    return old.map(end =>
      failure(
        'VersionSkew',
        `${at(context, end)} runs PostgreSQL ${major(context.facts[end].server.version)}; moving data needs 17 or later`,
        'Upgrade the shard first.',
      ),
    );
  if (major(source.version) !== major(target.version))
    return [
      caution(
        'VersionSkew',
        `the source runs PostgreSQL ${major(source.version)}, the target ${major(target.version)}`,
        'Bring both to the same version if the application relies on anything that differs.',
      ),
    ];
  return [];
};

function major(version: number): number {
  return Math.floor(version / 10_000);
}

/** Content is compared byte for byte, and text is ordered and matched by the locale. */
export const encodingDiffers: Check = ({ facts: { source, target } }) => {
  if (source.server.encoding !== target.server.encoding)
    return [
      failure(
        'EncodingDiffers',
        `the source has the encoding ${source.server.encoding}, the target ${target.server.encoding}`,
        'Move to a shard that was made with the same settings.',
      ),
    ];
  if (source.server.locale !== target.server.locale)
    return [
      caution(
        'EncodingDiffers',
        `the source has the locale ${source.server.locale}, the target ${target.server.locale}`,
        'Text may be ordered and matched otherwise after the move: move to a shard that was made with the same settings.',
      ),
    ];
  return [];
};

export const extensionsMissing: Check = ({ facts: { source, target } }) =>
  Object.entries(source.extensions).flatMap(([name, version]) => {
    const there = target.extensions[name];
    if (there === undefined)
      return [
        failure(
          'ExtensionsMissing',
          `the target does not have the extension ${name}`,
          `Add CREATE EXTENSION ${name} to a schema file.`,
        ),
      ];
    if (there === version) return [];
    return [
      caution(
        'ExtensionsMissing',
        `the extension ${name} is ${version} at the source and ${there} at the target`,
        `ALTER EXTENSION ${name} UPDATE on the older one.`,
      ),
    ];
  });

/** They are no rows of a table, and replication does not carry them. */
export const largeObjects: Check = context => {
  const columns = context.facts.source.tables.flatMap(table =>
    table.columns
      .filter(({ type }) => /^(oid|(\w+\.)?lo)$/.test(type))
      .map(({ name }) => `${table.name}.${name}`),
  );
  const there = context.facts.source.largeObjects;
  if (there && columns.length > 0)
    return [
      failure(
        'LargeObjects',
        `${at(context, 'source')} has large objects, and ${listed(columns)} may refer to them: they do not move`,
        'Keep the content in a bytea column.',
      ),
    ];
  if (there)
    return [
      caution(
        'LargeObjects',
        `${at(context, 'source')} has large objects: they do not move`,
        'Make sure that no moving row needs them.',
      ),
    ];
  if (columns.length === 0) return [];
  return [
    caution(
      'LargeObjects',
      `${listed(columns)} hold object ids, which mean nothing in another database`,
      'Make sure that nobody relies on them after the move.',
    ),
  ];
};

export const eventTriggers: Check = context =>
  bothEnds.flatMap(end => {
    const names = context.facts[end].eventTriggers;
    if (names.length === 0) return [];
    return [
      caution(
        'EventTriggers',
        `${at(context, end)} has event triggers: ${listed(names)}`,
        'Make sure that they let the operator make publications, policies, triggers and roles.',
      ),
    ];
  });

export const longTransactions: Check = context =>
  bothEnds.flatMap(end => {
    const { transactions, preparedTransactions } = context.facts[end];
    const long = transactions.filter(({ seconds }) => seconds > LONG_SECONDS);
    return [
      ...(preparedTransactions.length > 0
        ? [
            failure(
              'LongTransactions',
              `${at(context, end)} has prepared transactions: ${listed(preparedTransactions)}`,
              'COMMIT PREPARED or ROLLBACK PREPARED: replication cannot start before.',
            ),
          ]
        : []),
      ...(long.length > 0
        ? [
            caution(
              'LongTransactions',
              `${at(context, end)} has transactions open for long: ${listed(long.map(({ login, pid, seconds }) => `${login} (pid ${pid}) for ${Math.round(seconds)} s`))}`,
              'Replication starts when they have ended: end them, or wait.',
            ),
          ]
        : []),
    ];
  });
