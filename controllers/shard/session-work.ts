/**
 * What is done in a database, and when a connection is worth it: on changes of logins or schema, and now and then to measure. A
 * pass over a shard that is as it should be opens none.
 */
import type { Shard, ShardStatus } from '#crds/api/shard.ts';
import type { AccessInput, MemberAddress, MemberFacts, SchemaFile, ShardSession } from '#engines/engine.ts';
import { SchemaError } from '#engines/errors.ts';
import { accessHash } from './access.ts';
import type { Measured } from './status.ts';

export interface Needs {
  readonly access: boolean;
  readonly schema: boolean;
  readonly statistics: boolean;
  readonly sweep?: Sweep;
}

/** A primary that may have others' left-overs, and the replicas that may have some since it is the primary. */
export interface Sweep {
  readonly timeline: number;
  readonly replicas: readonly MemberAddress[];
}

/** Undefined when there is nothing to connect for. */
export function sessionNeeds(
  shard: Shard,
  members: readonly MemberFacts[],
  measured: Measured,
  statisticsDue: boolean,
): Needs | undefined {
  const access = measured.accessHash !== accessHash(shard);
  const schema = schemaDue(shard, measured);
  const sweep = sweepDue(members, measured);
  if (!access && !schema && !statisticsDue && !sweep) return undefined;
  return { access, schema, statistics: statisticsDue, ...(sweep && { sweep }) };
}

/** Once for every member and change of primary; a replica that is not ready is swept when it is. */
export function sweepDue(members: readonly MemberFacts[], { swept }: Measured): Sweep | undefined {
  const timeline = members.find(({ role }) => role === 'primary')?.timeline;
  // On the first one nobody was primary before.
  if (timeline === undefined || timeline <= 1) return undefined;
  const done = new Set(swept?.timeline === timeline ? swept.members : []);
  const replicas = members.flatMap(({ name, role, ready, podIP }) =>
    role === 'replica' && ready && podIP !== undefined && !done.has(name) ? [{ name, host: podIP }] : [],
  );
  return swept?.timeline === timeline && replicas.length === 0 ? undefined : { timeline, replicas };
}

/** Applied files are not looked at again, and a failure not before the files change. */
export function schemaDue({ spec }: Shard, { schema }: Measured): boolean {
  if (!spec.schema) return false;
  return schema?.hash !== spec.schema.hash && schema?.failed?.hash !== spec.schema.hash;
}

export interface SessionInput {
  readonly shard: Shard;
  readonly needs: Needs;
  readonly access: AccessInput;
  /** Undefined when the ConfigMaps no longer have the content that the Shard names: newer orders are on their way. */
  readonly files: readonly SchemaFile[] | undefined;
}

export interface SessionResult {
  readonly measured: Measured;
  /** In words, without secrets. */
  readonly changes: readonly string[];
}

/**
 * Throws EngineError when the database cannot be reached or a running migration refuses a file; a schema that fails by itself is
 * a result, not an error.
 */
export async function workInSession(
  session: ShardSession,
  input: SessionInput,
  before: Measured,
): Promise<SessionResult> {
  const { shard, needs, access, files } = input;
  const changes: string[] = [];
  let measured = before;
  if (needs.access) {
    changes.push(...(await session.ensureAccess(access)));
    measured = {
      ...measured,
      accessHash: accessHash(shard),
      generation: shard.spec.generation,
      readerGeneration: shard.spec.readerGeneration,
      state: shard.spec.state,
      ...(shard.spec.secrets.version === undefined ? {} : { secretsVersion: shard.spec.secrets.version }),
    };
  }
  if (needs.schema && files && shard.spec.schema) {
    const { schema, applied } = await applySchema(session, files, shard.spec.schema.hash, access);
    changes.push(...applied.map(file => `applied ${file}`));
    // New tables want grants.
    if (applied.length > 0) changes.push(...(await session.ensureAccess(access)));
    measured = { ...measured, schema };
  }
  if (needs.sweep) {
    const { timeline, replicas } = needs.sweep;
    const swept = await session.sweep(replicas);
    changes.push(...swept.changes);
    const done = measured.swept?.timeline === timeline ? measured.swept.members : [];
    const now = replicas.map(({ name }) => name).filter(name => !swept.unreached.includes(name));
    measured = { ...measured, swept: { timeline, members: [...done, ...now].toSorted().slice(0, 16) } };
  }
  if (needs.statistics || needs.access) {
    const { sizeBytes, lagBytes } = await session.statistics();
    const version = await session.referenceVersion();
    measured = { ...measured, sizeBytes, lagBytes, referenceVersion: version.toString() };
  }
  return { measured, changes };
}

async function applySchema(
  session: ShardSession,
  files: readonly SchemaFile[],
  hash: string,
  access: AccessInput,
): Promise<{ readonly schema: NonNullable<ShardStatus['schema']>; readonly applied: readonly string[] }> {
  try {
    const { applied } = await session.applySchema(files);
    return { schema: { hash, files: files.length }, applied };
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    // A running migration refused it: no result, but to be tried again. What was applied before wants its grants meanwhile.
    if (error.retryable) {
      if (error.applied.length > 0) await session.ensureAccess(access);
      throw error;
    }
    const index = files.findIndex(file => file.name === error.file);
    const line = error.line === undefined ? '' : ` (line ${error.line})`;
    return {
      schema: {
        files: Math.max(0, index),
        failed: {
          file: error.file,
          message: `${error.message}${line}. ${error.remedy}`.slice(0, 4000),
          hash,
        },
      },
      applied: error.applied,
    };
  }
}
