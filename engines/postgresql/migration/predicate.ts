/**
 * What moves, as SQL: a boolean expression over a table's own columns, never null for a row that the database accepts as
 * belonging to somebody. It uses built-in immutable functions only, because row filters of publications accept nothing
 * else, and it is the same text wherever rows are counted in or out: publications, policies, hashes, deletes.
 */
import { EngineError } from '#engines/errors.ts';
import type { End, Transfer, TransferTable } from '#engines/migration.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { KeyType } from '#sharding/key.ts';
import type { KeyRange, RegionSlots, SlotRange } from '#sharding/partition.ts';
import { slotExpression } from '#sharding/slot.ts';
import { quoteIdentifier, quoteLiteral } from '../sql-text.ts';

/** Up to so many ranges a chain of comparisons is quicker than a search in a multirange. */
const CHAIN = 8;

const sqlTypes: Readonly<Record<KeyType, string>> = { bigint: 'int8', text: 'text', uuid: 'uuid' };

/** The partition cannot be told from the rest of the table by its rows alone. */
export class PartitionError extends EngineError {
  override readonly name = 'PartitionError';
  readonly code = 'PartitionUnsupported';
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

/**
 * In parentheses, or `true`. `end`: whose rows (a directory's default shard owns what has no entry: there the answer is all,
 * which is right only where nothing else is). `qualifier`: put before columns, `OLD` or a table's alias. Throws {@link PartitionError}.
 */
export function partitionPredicate(
  transfer: Transfer,
  table: TransferTable,
  end: End,
  qualifier?: string,
): string {
  const { partition, keyType } = transfer;
  const column = (name: string) => `${qualifier ? `${qualifier}.` : ''}${quoteIdentifier(name)}`;
  const key = column(table.key);
  switch (partition.kind) {
    case 'slots':
      return `(${inSlots(slotExpression(key, keyType, partition.slots), partition.ranges)})`;
    case 'keys':
      return `(${partition.ranges.map(range => inKeys(key, keyType, range)).join(' OR ') || 'false'})`;
    case 'directory':
      if (partition.fallback) return everything(transfer, end);
      return `(${inEntries(key, keyType, partition.entries)})`;
    case 'regions': {
      if (transfer.regionColumn === undefined)
        throw new PartitionError('no column holds the region', 'Name it in spec.sharding.geo.');
      const region = column(transfer.regionColumn);
      const slot = slotExpression(key, keyType, partition.slots);
      return `(${partition.regions.map(entry => inRegion(region, slot, entry)).join(' OR ') || 'false'})`;
    }
    default:
      return assertNever(partition);
  }
}

function everything(transfer: Transfer, end: End): string {
  const alone = end === 'source' ? transfer.whole : transfer.targetEmpty;
  if (alone) return 'true';
  throw new PartitionError(
    `the default shard of the directory cannot be told apart from other keys at the ${end}`,
    'Move the default shard as a whole to a shard that owns nothing.',
  );
}

function inSlots(slot: string, ranges: readonly SlotRange[]): string {
  if (ranges.length === 0) return 'false';
  if (ranges.length > CHAIN) {
    const text = ranges.map(({ first, last }) => `[${first},${last}]`).join(',');
    return `${slot} <@ '{${text}}'::pg_catalog.int8multirange`;
  }
  return ranges
    .map(({ first, last }) =>
      first === last ? `${slot} = ${first}` : `${slot} >= ${first} AND ${slot} <= ${last}`,
    )
    .join(' OR ');
}

function inKeys(key: string, keyType: KeyType, { from, to }: KeyRange): string {
  const ordered = keyType === 'text' ? `${key} COLLATE "C"` : key;
  const bounds = [
    ...(from === undefined ? [] : [`${ordered} >= ${keyLiteral(from, keyType)}`]),
    ...(to === undefined ? [] : [`${ordered} < ${keyLiteral(to, keyType)}`]),
  ];
  // Without bounds: every key, as an expression that names the column like all others.
  return bounds.join(' AND ') || `${key} IS NOT NULL`;
}

function inEntries(key: string, keyType: KeyType, entries: readonly string[]): string {
  if (entries.length === 0) return 'false';
  return `${key} = ANY (ARRAY[${entries.map(entry => keyLiteral(entry, keyType)).join(',')}])`;
}

function inRegion(region: string, slot: string, entry: RegionSlots): string {
  return `${region} = ${quoteLiteral(entry.region)} AND (${inSlots(slot, entry.ranges)})`;
}

/** With its type: an untyped literal beside an int4 column would be read as int4. */
function keyLiteral(text: string, keyType: KeyType): string {
  return `${quoteLiteral(text)}::pg_catalog.${sqlTypes[keyType]}`;
}
