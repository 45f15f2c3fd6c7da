/**
 * Which region each shard stands in. Deterministic, and stable: the regions of the first n shards never depend on how many
 * come after, so adding shards moves none.
 */
import { InvalidChangeError } from './errors.ts';

export interface WeightedRegion {
  readonly name: string;
  /** A positive number; shards are placed in this proportion. */
  readonly weight: number;
}

export interface PlacementInput {
  readonly shards: number;
  readonly regions: readonly WeightedRegion[];
  /** Where the first shards stand already, whatever the weights were then: they stay. */
  readonly placed?: readonly string[];
}

/**
 * The home region of shards 0 to `shards` - 1. With unchanged weights, each region's count in every prefix is its ideal
 * share rounded up or down. Regions that are named first win ties. Whether members spread beyond the home region is the
 * scheduler's matter.
 */
export function placeShards({ shards, regions, placed = [] }: PlacementInput): readonly string[] {
  const total = regions.reduce((sum, region) => sum + region.weight, 0);
  if (!(total > 0) || !Number.isFinite(total) || regions.some(region => region.weight < 0)) {
    throw new InvalidChangeError('the regions have no weights', 'Give at least one region a weight above 0.');
  }
  const homes = placed.slice(0, shards);
  const counts = new Map<string, number>();
  for (const home of homes) counts.set(home, (counts.get(home) ?? 0) + 1);
  while (homes.length < shards) {
    const home = nextRegion(regions, counts, total, homes.length + 1);
    counts.set(home, (counts.get(home) ?? 0) + 1);
    homes.push(home);
  }
  return homes;
}

/**
 * Of the regions that have not used up their share of a fleet of `size`, the one whose next shard is due first. Quotas sum
 * up to `size`, one more than the shards placed, so there is always such a region.
 */
function nextRegion(
  regions: readonly WeightedRegion[],
  counts: ReadonlyMap<string, number>,
  total: number,
  size: number,
): string {
  const due = regions
    .map(({ name, weight }) => ({ name, weight, count: counts.get(name) ?? 0 }))
    .filter(({ weight, count }) => weight > 0 && count < (size * weight) / total)
    .reduce((best, next) => ((next.count + 1) / next.weight < (best.count + 1) / best.weight ? next : best));
  return due.name;
}
