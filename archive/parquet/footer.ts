/**
 * The footer of a file: what its columns are and mean, in the terms of today's readers and of older ones. The library's own knows the
 * older terms only, in which a moment and the digits of a local clock are the same, and does not say that bounds can be relied on.
 */
import parquet from '@dsnp/parquetjs/dist/gen-nodejs/parquet_types.js';
import { serializeThrift } from '@dsnp/parquetjs/dist/lib/util.js';
import type Int64 from 'node-int64';
import { assertNever } from '#kernel/assert-never.ts';
import type { Column } from '../columns/choose.ts';
import type { Meaning, Storage } from '../columns/column-type.ts';

const magic = 'PAR1';
const { ConvertedType, FieldRepetitionType, LogicalType, SchemaElement, Type } = parquet;

type Annotation = Pick<parquet.SchemaElement, 'converted_type' | 'logicalType' | 'precision' | 'scale'>;

export interface Groups {
  readonly rowCount: Int64;
  readonly rowGroups: parquet.RowGroup[];
}

export function footer(
  columns: readonly Column[],
  { rowCount, rowGroups }: Groups,
  metadata: Readonly<Record<string, string>>,
): Buffer {
  const content = serializeThrift(
    new parquet.FileMetaData({
      version: 2,
      created_by: 'shardwright',
      num_rows: rowCount,
      row_groups: rowGroups,
      schema: [
        new SchemaElement({ name: 'root', num_children: columns.length }),
        ...columns.flatMap(column => elements(column)),
      ],
      // Without it, what bounds mean is undefined.
      column_orders: columns.map(
        () => new parquet.ColumnOrder({ TYPE_ORDER: new parquet.TypeDefinedOrder() }),
      ),
      key_value_metadata: Object.entries(metadata).map(
        ([key, value]) => new parquet.KeyValue({ key, value }),
      ),
    }),
  );
  const end = Buffer.alloc(8);
  end.writeUInt32LE(content.length);
  end.write(magic, 4);
  return Buffer.concat([content, end]);
}

function elements(column: Column): parquet.SchemaElement[] {
  const { name } = column;
  if (column.kind === 'value') return [leaf(name, column.type.storage, column.notNull)];
  return [
    new SchemaElement({
      name,
      repetition_type: FieldRepetitionType.OPTIONAL,
      num_children: 1,
      converted_type: ConvertedType.LIST,
      logicalType: new LogicalType({ LIST: new parquet.ListType() }),
    }),
    new SchemaElement({ name: 'list', repetition_type: FieldRepetitionType.REPEATED, num_children: 1 }),
    leaf('element', column.type.element.storage, false),
  ];
}

function leaf(
  name: string,
  { physical, length, meaning }: Storage,
  required: boolean,
): parquet.SchemaElement {
  return new SchemaElement({
    name,
    type: Type[physical],
    repetition_type: required ? FieldRepetitionType.REQUIRED : FieldRepetitionType.OPTIONAL,
    ...(length !== undefined && { type_length: length }),
    ...(meaning && meaningOf(meaning)),
  });
}

function meaningOf(meaning: Meaning): Annotation {
  switch (meaning.kind) {
    case 'text':
      return {
        converted_type: ConvertedType.UTF8,
        logicalType: new LogicalType({ STRING: new parquet.StringType() }),
      };
    case 'json':
      return {
        converted_type: ConvertedType.JSON,
        logicalType: new LogicalType({ JSON: new parquet.JsonType() }),
      };
    case 'uuid':
      return { logicalType: new LogicalType({ UUID: new parquet.UUIDType() }) };
    case 'date':
      return {
        converted_type: ConvertedType.DATE,
        logicalType: new LogicalType({ DATE: new parquet.DateType() }),
      };
    case 'timestamp': {
      const unit = new parquet.TimeUnit({ MICROS: new parquet.MicroSeconds() });
      return {
        converted_type: ConvertedType.TIMESTAMP_MICROS,
        logicalType: new LogicalType({
          TIMESTAMP: new parquet.TimestampType({ isAdjustedToUTC: meaning.utc, unit }),
        }),
      };
    }
    case 'decimal': {
      const { precision, scale } = meaning;
      return {
        converted_type: ConvertedType.DECIMAL,
        precision,
        scale,
        logicalType: new LogicalType({ DECIMAL: new parquet.DecimalType({ precision, scale }) }),
      };
    }
    default:
      return assertNever(meaning);
  }
}
