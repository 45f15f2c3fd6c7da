/**
 * What pages were decoded to, kept as long as the page itself: of a large map that changed, only the pages that changed are
 * decoded again.
 */
import type { MapShard, SlotOwners } from './map.ts';
import { decodeShards, decodeSlots } from './page-codec.ts';
import { slotsPerPage } from './page-ids.ts';
import type { MapPage } from './pages.ts';

const knownShards = new WeakMap<
  MapPage,
  { readonly cluster: string; readonly shards: readonly MapShard[] }
>();
const knownSlots = new WeakMap<MapPage, SlotOwners>();

export function shardsOf(page: MapPage, cluster: string, first: number): readonly MapShard[] {
  const known = knownShards.get(page);
  if (known?.cluster === cluster) return known.shards;
  const shards = decodeShards(page.data, page.id, cluster, first);
  knownShards.set(page, { cluster, shards });
  return shards;
}

/** Of all the pages of one region, or of a map without regions. */
export function slotsOf(pages: readonly MapPage[], slots: number): SlotOwners {
  const length = Math.min(slotsPerPage, slots);
  const parts = pages.map(page => {
    const known = knownSlots.get(page);
    return known?.write.length === length ? known : decodeSlots(page.data, page.id, length);
  });
  const joined = joinSlots(parts, slots);
  // Views of the whole, so that a map is in memory once.
  for (const [n, page] of pages.entries()) {
    const write = joined.write.subarray(n * slotsPerPage, n * slotsPerPage + length);
    const same = joined.read === joined.write;
    knownSlots.set(page, {
      write,
      read: same ? write : joined.read.subarray(n * slotsPerPage, n * slotsPerPage + length),
    });
  }
  return joined;
}

function joinSlots(pages: readonly SlotOwners[], slots: number): SlotOwners {
  const [only] = pages;
  if (only !== undefined && pages.length === 1) return only;
  const write = new Uint32Array(slots);
  pages.forEach((page, n) => write.set(page.write, n * slotsPerPage));
  if (pages.every(page => page.read === page.write)) return { write, read: write };
  const read = new Uint32Array(slots);
  pages.forEach((page, n) => read.set(page.read, n * slotsPerPage));
  return { write, read };
}
