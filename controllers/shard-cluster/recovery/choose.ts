/** Which incarnation of a lost fleet to bring back, and which of its shards were there at that time. Pure. */
import type { Problem } from '#controllers/shard-cluster/problems.ts';
import type { StoredIncarnation, StoredShard } from '#engines/recovery.ts';
import type { RecoverySpec } from './facts.ts';

/** A shard in the store, and which of the policy's destinations holds it. */
export interface ChosenShard extends StoredShard {
  readonly source: number;
}

export interface Choice {
  readonly incarnation: string;
  /** By ascending ordinal. */
  readonly shards: readonly ChosenShard[];
  /** No ordinal that was ever given out is given out again. */
  readonly nextOrdinal: number;
}

interface Candidate {
  readonly id: string;
  readonly shards: readonly ChosenShard[];
}

/** `found`: what each destination holds, by its index. */
export function choose(
  spec: RecoverySpec,
  found: ReadonlyMap<number, readonly StoredIncarnation[]>,
  now: Date,
): Choice | Problem {
  const { cluster, incarnation, targetTime } = spec;
  const candidates = gather(found);
  const wanted = candidates.filter(({ id }) => incarnation === undefined || id === incarnation);
  if (wanted.length === 0) {
    const known = candidates.map(describe).join('; ');
    const which = incarnation === undefined ? cluster : `${cluster}, incarnation ${incarnation}`;
    return problem(
      `the object store holds no backup of ShardCluster ${which} of this namespace: ${
        known === '' ? 'nothing is there' : `it holds ${known}`
      }`,
    );
  }
  const target = targetTime === undefined ? Infinity : Date.parse(targetTime);
  if (targetTime !== undefined && target > now.getTime())
    return problem(`targetTime ${targetTime} is still to come: leave it out to get the newest`);
  const begun = wanted.filter(each => first(each) <= target);
  const newest = begun.toSorted((a, b) => first(b) - first(a))[0];
  if (!newest) {
    return problem(
      `targetTime ${targetTime} is too early: the object store holds ${wanted.map(describe).join('; ')}`,
    );
  }
  if (targetTime !== undefined && target > last(newest)) {
    return problem(
      `targetTime ${targetTime} is after the end of the archive: the object store holds ${describe(newest)}; leave targetTime out to get the newest`,
    );
  }
  // A shard whose first backup came later owned nothing yet, or what it owned is found to be missing.
  const shards = newest.shards
    .filter(({ since }) => Date.parse(since) <= target)
    .toSorted((a, b) => a.ordinal - b.ordinal);
  const doubled = shards.find((shard, i) => shards[i + 1]?.ordinal === shard.ordinal);
  if (doubled)
    return problem(`two destinations hold backups of ${doubled.stanza}: take one out of the BackupPolicy`);
  if (shards[0]?.ordinal !== 0)
    return problem(
      `shard 0, the home of reference tables, cannot be brought back to that time: the object store holds ${describe(newest)}`,
    );
  return {
    incarnation: newest.id,
    shards,
    nextOrdinal: newest.shards.reduce((next, { ordinal }) => Math.max(next, ordinal + 1), 0),
  };
}

function gather(found: ReadonlyMap<number, readonly StoredIncarnation[]>): readonly Candidate[] {
  const all = [...found].flatMap(([source, incarnations]) =>
    incarnations.map(({ id, shards }) => ({ id, shards: shards.map(shard => ({ ...shard, source })) })),
  );
  return [...Map.groupBy(all, ({ id }) => id)]
    .map(([id, parts]) => ({ id, shards: parts.flatMap(({ shards }) => shards) }))
    .filter(({ shards }) => shards.length > 0);
}

function first({ shards }: Candidate): number {
  return Math.min(...shards.map(({ since }) => Date.parse(since)));
}

function last({ shards }: Candidate): number {
  return Math.max(...shards.map(({ until }) => Date.parse(until)));
}

function describe(each: Candidate): string {
  const [from, to] = [first(each), last(each)].map(time => new Date(time).toISOString());
  return `incarnation ${each.id} from ${from} to ${to} (${each.shards.length} shards)`;
}

function problem(message: string): Problem {
  return { reason: 'RecoveryFailed', message };
}

export function isChoice(made: Choice | Problem): made is Choice {
  return 'shards' in made;
}

/** Where it goes: a fleet's map places a shard before anything of it is there. */
export function placed({ ordinal, about }: ChosenShard): {
  readonly ordinal: number;
  readonly region?: string;
} {
  return { ordinal, ...(about?.region === undefined ? {} : { region: about.region }) };
}
