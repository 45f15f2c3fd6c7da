/**
 * What is done in a database, and when a connection is worth it: on changes of logins, of primaries, and now and then to measure. A
 * pass over a shard that is as it should be opens none.
 */
import type { Shard } from '#crds/api/shard.ts';
import type { AccessInput, MemberAddress, MemberFacts, ShardSession } from '#engines/engine.ts';
import { accessHash } from './access.ts';
import type { Measured } from './status.ts';

export interface Needs {
  readonly access: boolean;
  readonly statistics: boolean;
  readonly sweep?: Sweep;
}

/** A primary that may have others' left-overs, and the replicas that may have some since it is the primary. */
export interface Sweep {
  readonly timeline: number;
  readonly replicas: readonly MemberAddress[];
}

/** Undefined when there is nothing to connect for. `grants`: schema files have made something that logins have no right to yet. */
export function sessionNeeds(
  shard: Shard,
  members: readonly MemberFacts[],
  measured: Measured,
  due: { readonly statistics: boolean; readonly grants: boolean },
): Needs | undefined {
  const access = due.grants || measured.accessHash !== accessHash(shard);
  const sweep = sweepDue(members, measured);
  if (!access && !due.statistics && !sweep) return undefined;
  return { access, statistics: due.statistics, ...(sweep && { sweep }) };
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

export interface SessionInput {
  readonly shard: Shard;
  readonly needs: Needs;
  readonly access: AccessInput;
}

export interface SessionResult {
  readonly measured: Measured;
  /** In words, without secrets. */
  readonly changes: readonly string[];
}

/** Throws EngineError when the database cannot be reached. */
export async function workInSession(
  session: ShardSession,
  input: SessionInput,
  before: Measured,
): Promise<SessionResult> {
  const { shard, needs, access } = input;
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
