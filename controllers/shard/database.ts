/** Sessions of a shard: the work on changes, measuring, and copying reference tables. */

import { connection, reachablePrimary } from '#controllers/connect-target.ts';
import { clusterChildren } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { MemberFacts, ShardSession } from '#engines/engine.ts';
import type { ReconcileContext } from '#kernel/controller.ts';
import { accessInput, type Verifiers } from './access.ts';
import type { ShardDeps } from './deps.ts';
import { gatherShard, type ShardFacts } from './facts.ts';
import { type Needs, workInSession } from './session-work.ts';
import type { Measured } from './status.ts';

/** Entries of the log that are copied in one go. */
const BATCH = 100;

/** Runs `work` in a session with the primary. Throws EngineError, KubeError. */
export async function inSession<R>(
  deps: ShardDeps,
  shard: Shard,
  primary: MemberFacts,
  context: ReconcileContext,
  work: (session: ShardSession, verifiers: Verifiers) => Promise<R>,
): Promise<R> {
  const { target, verifiers } = await connection(deps.secrets, shard, primary, context.signal);
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(deps.sessionMs)]);
  return deps.sessions.run(
    signal,
    () => deps.engine(shard).connect(shard, target, signal),
    session => work(session, verifiers),
  );
}

/** Brings the database to the spec and measures it. */
export async function tend(
  deps: ShardDeps,
  { shard }: ShardFacts,
  primary: MemberFacts,
  needs: Needs,
  before: Measured,
  context: ReconcileContext,
): Promise<Measured> {
  const { measured, changes } = await inSession(deps, shard, primary, context, (session, verifiers) =>
    workInSession(session, { shard, needs, access: accessInput(shard, verifiers) }, before),
  );
  if (changes.length > 0) context.log.info({ changes: changes.slice(0, 20) }, 'changed the database');
  return measured;
}

/**
 * Copies what the home shard (ordinal 0) has of the reference tables and this shard has not. Returns the version that this
 * shard has afterwards.
 */
export async function copyReferences(
  deps: ShardDeps,
  { shard }: ShardFacts,
  primary: MemberFacts,
  measured: Measured,
  /** This shard was never measured before: what the home shard has is asked of it, its last measure may be minutes old. */
  first: boolean,
  context: ReconcileContext,
): Promise<Measured> {
  if (shard.spec.ordinal === 0 || measured.referenceVersion === undefined) return measured;
  const homeName = clusterChildren.shard(shard.spec.cluster.name, 0);
  const home = gatherShard(deps.caches, deps.engine, {
    namespace: shard.metadata.namespace ?? '',
    name: homeName,
  });
  const homePrimary = home && reachablePrimary(home.members);
  if (!home || !homePrimary) return measured;
  const newest = deps.memory.measured(home.shard).referenceVersion;
  if (newest === undefined) return measured;
  const asks = first && shard.spec.sharding.tables.some(({ reference }) => reference);
  if (!asks && BigInt(newest) <= BigInt(measured.referenceVersion)) return measured;

  const { signal, log } = context;
  const own = await connection(deps.secrets, shard, primary, signal);
  const source = await connection(deps.secrets, home.shard, homePrimary, signal);
  const until = AbortSignal.any([signal, AbortSignal.timeout(deps.sessionMs)]);
  // Both sessions under one permit: waiting for a second one while holding the first could block everybody.
  const version = await deps.sessions.run(
    until,
    () => deps.engine(shard).connect(shard, own.target, until),
    async target => {
      await using from = await deps.engine(home.shard).connect(home.shard, source.target, until);
      let have = await target.referenceVersion();
      for (;;) {
        const entries = await from.broadcastsSince(have, BATCH);
        if (entries.length === 0) return have;
        log.info(
          { from: have.toString(), entries: entries.length },
          'copying reference tables from the home shard',
        );
        for (const entry of entries) {
          await target.applyBroadcast(entry);
          have = entry.version;
        }
      }
    },
  );
  return { ...measured, referenceVersion: version.toString() };
}
