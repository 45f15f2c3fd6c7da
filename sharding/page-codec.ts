/**
 * The content of one page. Header, shards and entries are JSON; slots are planes of bytes (all lowest bytes, then all
 * second bytes, ...), because deflate then finds both the long runs of an even map and the narrow high bytes of a ring.
 * Everything is deflated and in base64. Decoding checks every value.
 */
import { UnknownFormatError } from './errors.ts';
import { type KeyType, keyTypes } from './key.ts';
import {
  type Algorithm,
  type MapShard,
  type MapTable,
  mapFormat,
  type ShardMap,
  type ShardState,
  type SlotOwners,
} from './map.ts';
import { pack, packJson, Reader, unpack, unpackJson } from './page-reader.ts';
import { maxSlots, minSlots } from './slot.ts';

export interface Header
  extends Pick<
    ShardMap,
    'format' | 'namespace' | 'cluster' | 'keyType' | 'slots' | 'tables' | 'nextOrdinal'
  > {
  readonly algorithm: Algorithm;
  readonly regions: readonly string[];
  readonly shardPages: number;
  readonly entryPages: number;
  /** See seal.ts. */
  readonly seal: string;
}

/** `key` null: the lowest range, or a directory's default. */
export interface Entry {
  readonly key: string | null;
  readonly write: number;
  readonly read: number;
}

const algorithms: readonly Algorithm[] = ['hash', 'range', 'directory', 'geo'];
const states: readonly ShardState[] = ['active', 'readonly', 'maintenance'];

const maxOrdinal = 0xffff_ffff;

export function encodeHeader(
  map: ShardMap,
  rest: Pick<Header, 'shardPages' | 'entryPages' | 'seal'>,
): string {
  const { format, namespace, cluster, keyType, slots, tables, nextOrdinal, ownership } = map;
  const regions = ownership.algorithm === 'geo' ? [...ownership.regions.keys()] : [];
  const { algorithm } = ownership;
  return packJson({
    format,
    namespace,
    cluster,
    algorithm,
    keyType,
    slots,
    tables,
    nextOrdinal,
    regions,
    ...rest,
  });
}

export function decodeHeader(data: string, id: string): Header {
  const reader = new Reader(id);
  const json = reader.object(unpackJson(data, id));
  if (json.format !== mapFormat) {
    throw new UnknownFormatError(
      `the map has format ${JSON.stringify(json.format)}; this version knows ${mapFormat}`,
      'Use the version of shardwright that the operator has.',
    );
  }
  const slots = reader.count(json.slots, maxSlots);
  reader.expect(slots >= minSlots && Number.isInteger(Math.log2(slots)), 'slots is no power of two');
  return {
    format: mapFormat,
    namespace: reader.text(json.namespace),
    cluster: reader.text(json.cluster),
    algorithm: reader.oneOf(json.algorithm, algorithms),
    keyType: reader.oneOf<KeyType>(json.keyType, keyTypes),
    slots,
    tables: reader.list(json.tables).map(table => decodeTable(reader, table)),
    nextOrdinal: reader.count(json.nextOrdinal, maxOrdinal + 1),
    regions: reader.list(json.regions).map(region => reader.text(region)),
    shardPages: reader.count(json.shardPages, 1 << 20),
    entryPages: reader.count(json.entryPages, 1 << 20),
    seal: reader.text(json.seal),
  };
}

function decodeTable(reader: Reader, value: unknown): MapTable {
  const { name, key, region, reference } = reader.object(value);
  reader.expect(reference === undefined || typeof reference === 'boolean', 'reference is not true or false');
  return {
    name: reader.text(name),
    ...(key === undefined ? {} : { key: reader.text(key) }),
    ...(region === undefined ? {} : { region: reader.text(region) }),
    ...(typeof reference === 'boolean' ? { reference } : {}),
  };
}

/** One row per ordinal: [name or 0 for <cluster>-<ordinal>, region or 0, generation, reader generation, state], or 0. */
export function encodeShards(shards: readonly MapShard[], cluster: string, first: number): string {
  const rows: unknown[] = [];
  for (const { name, ordinal, region, generation, readerGeneration, state } of shards) {
    while (rows.length < ordinal - first) rows.push(0);
    const ownName = name === `${cluster}-${ordinal}` ? 0 : name;
    rows.push([ownName, region ?? 0, generation, readerGeneration, states.indexOf(state)]);
  }
  return packJson(rows);
}

export function decodeShards(data: string, id: string, cluster: string, first: number): readonly MapShard[] {
  const reader = new Reader(id);
  const shards: MapShard[] = [];
  for (const [i, row] of reader.list(unpackJson(data, id)).entries()) {
    if (row === 0) continue;
    const [name, region, generation, readerGeneration, state] = reader.row(row, 5);
    shards.push({
      name: name === 0 ? `${cluster}-${first + i}` : reader.text(name),
      ordinal: first + i,
      ...(region === 0 ? {} : { region: reader.text(region) }),
      generation: reader.count(generation, Number.MAX_SAFE_INTEGER),
      readerGeneration: reader.count(readerGeneration, Number.MAX_SAFE_INTEGER),
      state: reader.oneOf(states[reader.count(state, states.length - 1)], states),
    });
  }
  return shards;
}

/** A byte for the width, one for whether the readers' owners follow, then the planes. */
export function encodeSlots(write: Uint32Array, read: Uint32Array): string {
  const same = write === read || write.every((ordinal, slot) => read[slot] === ordinal);
  const arrays = same ? [write] : [write, read];
  const highest = arrays.reduce((max, array) => array.reduce((a, b) => (a > b ? a : b), max), 0);
  const width = highest < 0x100 ? 1 : highest < 0x1_0000 ? 2 : highest < 0x100_0000 ? 3 : 4;
  const bytes = new Uint8Array(2 + arrays.length * width * write.length);
  bytes[0] = width;
  bytes[1] = arrays.length;
  let at = 2;
  for (const array of arrays) {
    for (let plane = 0; plane < width; plane++) {
      for (const ordinal of array) bytes[at++] = ordinal >>> (8 * plane);
    }
  }
  return pack(bytes);
}

export function decodeSlots(data: string, id: string, length: number): SlotOwners {
  const reader = new Reader(id);
  const bytes = unpack(data, id);
  const [width = 0, count = 0] = bytes;
  reader.expect(width >= 1 && width <= 4 && (count === 1 || count === 2), 'starts with unknown bytes');
  reader.expect(bytes.length === 2 + count * width * length, `has ${bytes.length} bytes for ${length} slots`);
  const decode = (start: number): Uint32Array => {
    const array = new Uint32Array(length);
    for (let plane = 0; plane < width; plane++) {
      const from = start + plane * length;
      for (let slot = 0; slot < length; slot++) {
        array[slot] = (array[slot] ?? 0) | ((bytes[from + slot] ?? 0) << (8 * plane));
      }
    }
    return array;
  };
  const write = decode(2);
  return { write, read: count === 2 ? decode(2 + width * length) : write };
}

export function encodeEntries(entries: readonly Entry[]): string {
  // Sorted by UTF-16 units: any order will do, as long as equal content gives equal bytes.
  const sorted = entries.toSorted((a, b) => ((a.key ?? '') < (b.key ?? '') || a.key === null ? -1 : 1));
  return packJson(sorted.map(({ key, write, read }) => (write === read ? [key, write] : [key, write, read])));
}

export function decodeEntries(data: string, id: string): readonly Entry[] {
  const reader = new Reader(id);
  return reader.list(unpackJson(data, id)).map(value => {
    const row = reader.list(value);
    const [key, write, read] = reader.row(row, row.length === 3 ? 3 : 2);
    const owner = reader.count(write, maxOrdinal);
    return {
      key: key === null ? null : reader.text(key),
      write: owner,
      read: row.length === 3 ? reader.count(read, maxOrdinal) : owner,
    };
  });
}
