/**
 * What is done in a database, and when a connection is worth it: on changes of logins or schema, and now and then to measure. A
 * pass over a shard that is as it should be opens none.
 */
import type { Shard, ShardStatus } from '#crds/api/shard.ts';
import type { AccessInput, SchemaFile, ShardSession } from '#engines/engine.ts';
import { SchemaError } from '#engines/errors.ts';
import { accessHash } from './access.ts';
import type { Measured } from './status.ts';

export interface Needs {
  readonly access: boolean;
  readonly schema: boolean;
  readonly statistics: boolean;
}

/** Undefined when there is nothing to connect for. */
export function sessionNeeds(shard: Shard, measured: Measured, statisticsDue: boolean): Needs | undefined {
  const access = measured.accessHash !== accessHash(shard);
  const schema = schemaDue(shard, measured);
  return access || schema || statisticsDue ? { access, schema, statistics: statisticsDue } : undefined;
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
