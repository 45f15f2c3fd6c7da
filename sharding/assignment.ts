/**
 * First owners of slots. Used once, when a map is made; afterwards the map is data. Both strategies are deterministic.
 */
import { hash as digest } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { assertNever } from './assert-never.ts';

export type RingHash = 'md5' | 'crc32';

export interface Assignment {
  readonly strategy: 'even' | 'ring';
  /** Of a ring; MD5 unless told. */
  readonly hash?: RingHash;
  /** Points of each shard on a ring; 150 unless told. */
  readonly virtualNodes?: number;
}

export const defaultVirtualNodes = 150;

/** Per slot the ordinal of its owner. `ordinals` is not empty. */
export function assignSlots(slots: number, ordinals: readonly number[], assignment: Assignment): Uint32Array {
  switch (assignment.strategy) {
    case 'even':
      return assignEvenly(slots, ordinals);
    case 'ring':
      return assignByRing(
        slots,
        ordinals,
        assignment.hash ?? 'md5',
        assignment.virtualNodes ?? defaultVirtualNodes,
      );
    default:
      return assertNever(assignment.strategy);
  }
}

/** Neighbouring slots together; no two shards differ by more than one slot. */
export function assignEvenly(slots: number, ordinals: readonly number[]): Uint32Array {
  const owners = new Uint32Array(slots);
  for (let slot = 0; slot < slots; slot++) {
    owners[slot] = ordinals[Math.floor((slot * ordinals.length) / slots)] ?? 0;
  }
  return owners;
}

/**
 * Consistent hashing: slots stand evenly on a circle of 2^32 places, each shard throws `virtualNodes` points on it, and a
 * slot belongs to the first point at or after its place. One more shard takes slots from others and moves none between
 * them. A slot only needs the lowest point of each gap, so the points are never sorted nor kept.
 */
export function assignByRing(
  slots: number,
  ordinals: readonly number[],
  hash: RingHash,
  virtualNodes: number,
): Uint32Array {
  const gap = 0x1_0000_0000 / slots;
  // Of the gap from slot i's place up to the next one's: the lowest offset of a point, and whose it is.
  const offsets = new Float64Array(slots).fill(Number.POSITIVE_INFINITY);
  const points = new Int32Array(slots).fill(-1);
  for (const ordinal of ordinals) {
    for (const point of ringPoints(hash, ordinal, virtualNodes)) {
      // A point exactly on a place belongs to that slot: offset 0 of its gap.
      const slot = Math.floor(point / gap);
      const offset = point - slot * gap;
      const best = offsets[slot] ?? 0;
      if (offset < best || (offset === best && ordinal < (points[slot] ?? 0))) {
        offsets[slot] = offset;
        points[slot] = ordinal;
      }
    }
  }
  return nearestAtOrAfter(slots, points);
}

/** Walks backwards, twice around at most, carrying the nearest point's owner. */
function nearestAtOrAfter(slots: number, points: Int32Array): Uint32Array {
  const owners = new Uint32Array(slots);
  let next = points.find(ordinal => ordinal >= 0) ?? 0;
  for (let slot = slots - 1; slot >= 0; slot--) {
    const here = points[slot] ?? 0;
    if (here >= 0) next = here;
    owners[slot] = next;
  }
  return owners;
}

/** The places of a shard's points on the circle. One MD5 gives four; a CRC32 one. */
export function ringPoints(hash: RingHash, ordinal: number, virtualNodes: number): readonly number[] {
  const points: number[] = [];
  while (points.length < virtualNodes) {
    switch (hash) {
      case 'md5': {
        const bytes = digest('md5', `${ordinal}:${points.length / 4}`, 'buffer');
        for (let at = 0; at < 16; at += 4) points.push(bytes.readUInt32LE(at));
        break;
      }
      case 'crc32':
        points.push(scramble(crc32(`${ordinal}:${points.length}`)));
        break;
      default:
        assertNever(hash);
    }
  }
  return points.slice(0, virtualNodes);
}

/** CRC32 is linear, so the points of one shard would stand in a pattern; this spreads them over all 32 bits. */
function scramble(value: number): number {
  let x = value ^ (value >>> 16);
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
