/** A table cut into ranges of blocks that cover each of its rows once, whatever its key is. Pure. */

export interface Leaf {
  /** Blocks of its file when the snapshot was there already: what lies beyond them the snapshot does not show. */
  readonly blocks: number;
}

export interface BlockRange {
  /** Place of the table in the list. */
  readonly item: number;
  readonly first: number;
  /** The first block that is no part of it; absent: to the end. */
  readonly past?: number;
}

/** Blocks of 8 KiB. Smaller is not worth a connection; larger is a long transaction, and much to lose. */
const SMALLEST = 512;
const LARGEST = 16_384;
/** So many ranges for each session, so that none is left with the last one for long. */
const SHARES = 4;

/** Large tables first: nobody should wait for one that was begun last. Every table has at least one range. */
export function rangesOf(leaves: readonly Leaf[], parallel: number): readonly BlockRange[] {
  const total = leaves.reduce((sum, { blocks }) => sum + blocks, 0);
  const size = Math.min(LARGEST, Math.max(SMALLEST, Math.ceil(total / (parallel * SHARES))));
  return leaves
    .map(({ blocks }, item) => ({ blocks, item }))
    .toSorted((a, b) => b.blocks - a.blocks)
    .flatMap(({ blocks, item }) => {
      const count = Math.max(1, Math.ceil(blocks / size));
      return Array.from({ length: count }, (_, n) => ({
        item,
        first: n * size,
        ...(n < count - 1 && { past: (n + 1) * size }),
      }));
    });
}
