/**
 * A change of writers that is about to be made: which generation each shard's writers will have. Clients open sessions under
 * these logins before anybody waits for them; until a map names the generation, no statement may use one.
 */

/** By shard. */
export type ComingWriters = Readonly<Record<string, number>>;

export const nothingComing: ComingWriters = {};

/** What is no such record is none: an announcement saves time and decides nothing. */
export function parseComing(json: string): ComingWriters {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return nothingComing;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return nothingComing;
  const generations: Record<string, number> = {};
  for (const [shard, generation] of Object.entries(value)) {
    if (!Number.isSafeInteger(generation) || generation < 1) return nothingComing;
    generations[shard] = generation;
  }
  return generations;
}
