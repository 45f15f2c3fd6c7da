/**
 * Applies a shard's schema files. A controller of its own: an index of a large table takes hours, for which no pass over the shard
 * can wait, nor any of the few administrative sessions be held.
 */
import { connection, reachablePrimary } from '#controllers/connect-target.ts';
import { readSchema } from '#controllers/schema-files.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { SchemaFile, ShardSession } from '#engines/engine.ts';
import { EngineError, SchemaError } from '#engines/errors.ts';
import type { Reconcile, ReconcileContext } from '#kernel/controller.ts';
import type { ShardDeps } from './deps.ts';
import { gatherShard, isHeld } from './facts.ts';
import type { SchemaOutcome } from './schema-runs.ts';
import type { Measured } from './status.ts';

/** A file that builds indexes of large tables may take so long. */
export const SCHEMA_MS = 24 * 3600 * 1000;

/** How soon files are tried again that something else was in the way of. */
const RETRY_MS = 2000;

/** Applied files are not looked at again, and a failure not before the files change. */
export function schemaDue({ spec }: Shard, { schema }: Measured): boolean {
  if (!spec.schema) return false;
  return schema?.hash !== spec.schema.hash && schema?.failed?.hash !== spec.schema.hash;
}

export function schemaReconciler(deps: ShardDeps): Reconcile {
  return async (request, context) => {
    const facts = gatherShard(deps.caches, deps.engine, request);
    if (!facts || !deps.schemas.isOrdered(facts.shard)) return {};
    const { shard } = facts;
    const { deletionTimestamp } = shard.metadata;
    const primary = reachablePrimary(facts.members);
    const isAtRest = deletionTimestamp !== undefined || isHeld(deps.caches, shard);
    const schema = isAtRest || !primary ? undefined : await schemaOf(deps, shard, context);
    if (!schema || !primary) {
      deps.schemas.withdraw(shard);
      return {};
    }
    let outcome: SchemaOutcome;
    try {
      const { target } = await connection(deps.secrets, shard, primary, context.signal);
      await using session = await deps.engine(shard).connect(shard, target, context.signal);
      outcome = await apply(session, schema.files, schema.hash);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      outcome = { applied: [], trouble: `${error.message}. ${error.remedy}` };
    }
    const { applied, trouble } = outcome;
    if (applied.length > 0) context.log.info({ applied: applied.slice(0, 20) }, 'applied schema files');
    if (trouble !== undefined) context.log.warn({ trouble }, 'trying schema files again');
    deps.schemas.tell(shard, outcome);
    return outcome.schema ? {} : { requeueAfterMs: RETRY_MS };
  };
}

/** Throws EngineError when the database cannot be reached. A file that fails is an outcome. */
export async function apply(
  session: Pick<ShardSession, 'applySchema'>,
  files: readonly SchemaFile[],
  hash: string,
): Promise<SchemaOutcome> {
  try {
    const { applied } = await session.applySchema(files);
    return { applied, schema: { hash, files: files.length } };
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    const { applied, remedy, line, file, message } = error;
    const place = line === undefined ? '' : ` (line ${line})`;
    const text = `${message}${place}. ${remedy}`.slice(0, 4000);
    // A running migration refused it, or the server had other troubles: no result, but to be tried again.
    if (error.retryable) return { applied, trouble: text };
    const index = files.findIndex(({ name }) => name === file);
    return { applied, schema: { files: Math.max(0, index), failed: { file, message: text, hash } } };
  }
}

/** Undefined when the ConfigMaps hold other content than the Shard was told of: newer orders are on their way. */
async function schemaOf(
  deps: ShardDeps,
  shard: Shard,
  { signal }: ReconcileContext,
): Promise<{ readonly files: readonly SchemaFile[]; readonly hash: string } | undefined> {
  const { schema } = shard.spec;
  if (!schema) return undefined;
  const read = await readSchema(deps.client, shard.metadata.namespace ?? '', schema.configMaps, signal);
  return read.kind === 'Files' && read.hash === schema.hash ? read : undefined;
}
