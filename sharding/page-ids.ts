/** Which pages a map has, by its header. */
import type { Algorithm } from './map.ts';
import type { Header } from './page-codec.ts';

export const shardsPerPage = 4096;
export const slotsPerPage = 65_536;

/** The pages that a map with this header consists of. */
export function pageIds(
  header: Pick<Header, 'algorithm' | 'regions' | 'slots' | 'shardPages' | 'entryPages'>,
): string[] {
  const ids = ['header'];
  for (let n = 0; n < header.shardPages; n++) ids.push(`shards-${n}`);
  for (const region of regionsOf(header.algorithm, header.regions)) {
    for (let n = 0; n * slotsPerPage < header.slots; n++) ids.push(slotPageId(n, region));
  }
  for (let n = 0; n < entryPagesOf(header); n++) ids.push(`entries-${n}`);
  return ids;
}

export function slotPageId(n: number, region?: string): string {
  return region === undefined ? `slots-${n}` : `slots-${region}-${n}`;
}

/** Undefined stands for a map that has slots without regions. */
function regionsOf(algorithm: Algorithm, regions: readonly string[]): readonly (string | undefined)[] {
  if (algorithm === 'geo') return regions;
  return algorithm === 'hash' ? [undefined] : [];
}

function entryPagesOf({ algorithm, entryPages }: Pick<Header, 'algorithm' | 'entryPages'>): number {
  return algorithm === 'range' || algorithm === 'directory' ? entryPages : 0;
}
