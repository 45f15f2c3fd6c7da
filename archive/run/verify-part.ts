/** Reads a file back from the object store and compares it with what the database had when it was written. */
import { createHash } from 'node:crypto';
import { type Column, chooseColumn } from '../columns/choose.ts';
import { HashSum, RowHasher } from '../columns/row-hash.ts';
import { MismatchError } from '../errors.ts';
import { readRowGroups } from '../parquet/read-file.ts';
import { dayFolder, type ShardFolder } from '../store/layout.ts';
import type { Part } from '../store/manifest.ts';
import type { ObjectStore } from '../store/object-store.ts';

/** The file's bytes, which passed. Throws {@link MismatchError}. */
export async function verifyPart(
  store: ObjectStore,
  folder: ShardFolder,
  date: string,
  part: Part,
): Promise<Uint8Array> {
  const key = dayFolder(folder, date) + part.file;
  const bytes = await fetchPart(store, key, part);
  const columns = columnsOf(part);
  const hasher = new RowHasher();
  const sum = new HashSum();
  let rows = 0;
  for await (const group of readRowGroups(bytes, columns)) {
    rows += group.rows;
    for (let row = 0; row < group.rows; row++)
      sum.add(
        hasher.hash(
          columns,
          group.columns.map(values => values[row] ?? null),
        ),
      );
  }
  if (rows !== part.rows) throw new MismatchError(`${key} has ${rows} rows, the database had ${part.rows}`);
  if (String(sum.total) !== part.hash)
    throw new MismatchError(`the content of ${key} hashes to ${sum.total}, the database's to ${part.hash}`);
  return bytes;
}

/** Bytes other than those that were written are not even parsed: a reader may take for ever over them. */
async function fetchPart(store: ObjectStore, key: string, part: Part): Promise<Uint8Array> {
  const bytes = await store.get(key);
  if (bytes === undefined) throw new MismatchError(`${key} is not there`);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (sha256 !== part.sha256)
    throw new MismatchError(`${key} is not what was written: other bytes come back`);
  return bytes;
}

/** As the file keeps them. */
export function columnsOf(part: Part): readonly Column[] {
  return part.columns.map(column => chooseColumn(column, column.asText));
}
