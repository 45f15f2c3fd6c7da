/** What a recovered database said of itself, as a fact about its shard. */
import { z } from 'zod';
import { partition } from '#crds/api/partition.ts';
import type { FoundShard, FoundTransfer } from '#engines/recovery.ts';
import { generationLogin, generationOf, readerLogin } from '../generation-login.ts';
import { decision } from '../migration/journal.ts';

const transfer = z.object({
  id: z.string(),
  migration: z.string(),
  side: z.enum(['source', 'target']),
  moves: z.object({ partition }).nullish(),
  decision: decision.nullable(),
  markers: z.array(z.string()),
});

export const foundShard = z
  .object({
    own: z.record(z.string(), partition).default({}),
    logins: z.array(z.string()).default([]),
    floor: z.object({ writer: z.number(), reader: z.number() }).nullish(),
    transfers: z.array(transfer).default([]),
  })
  .transform(({ own, logins, floor, transfers }): FoundShard => {
    const names = [...logins, ...Object.keys(own)];
    const highest = (readers: boolean, least: number): number =>
      names
        .filter(name => generationLogin.test(name) && readerLogin.test(name) === readers)
        .reduce((most, name) => Math.max(most, generationOf(name)), least);
    const generation = highest(false, floor?.writer ?? 0);
    // The newest writers' row: a login that was opened ahead began with a copy of the one before it.
    const newest = Object.keys(own)
      .filter(name => generationLogin.test(name) && !readerLogin.test(name))
      .toSorted((a, b) => generationOf(b) - generationOf(a))[0];
    const mine = newest === undefined ? undefined : own[newest];
    return {
      ...(mine && { partition: mine }),
      generation,
      readerGeneration: highest(true, floor?.reader ?? 0),
      transfers: transfers.map(foundTransfer),
    };
  });

function foundTransfer({
  id,
  migration,
  side,
  moves,
  decision: found,
  markers,
}: z.infer<typeof transfer>): FoundTransfer {
  return {
    id,
    migration,
    side,
    ...(moves && { partition: moves.partition }),
    ...(found && {
      decision: {
        writes: found.writes,
        generation: found.generations.source,
        ...(found.marker !== undefined && { marker: found.marker }),
      },
    }),
    markers,
  };
}
