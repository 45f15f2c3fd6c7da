/**
 * The manifest of one day's rows of one table of one shard: which files count, what they hold, and how far each has come. A file that
 * it does not name is left from a run that was cut off, and holds nothing that the database does not have.
 */
import { z } from 'zod';
import { ManifestError } from '../errors.ts';
import { dayFolder, manifestKey, partNumber, type ShardFolder } from './layout.ts';
import type { ObjectStore } from './object-store.ts';

const column = z.object({
  name: z.string(),
  /** In the database. */
  declared: z.string(),
  base: z.string(),
  element: z.string().exactOptional(),
  modifier: z.int(),
  notNull: z.boolean(),
  /** In the file, in words. */
  stored: z.string(),
  /** Kept as text, because this file's rows hold a value that the column's own storage cannot. */
  asText: z.boolean(),
});
export type ManifestColumn = z.infer<typeof column>;

const part = z.object({
  file: z.string(),
  /**
   * `Exported`: written, not looked at yet. `Verified`: read back, and equal to what the database had. `Deleted`: and its rows are
   * gone from the database, but for those that changed in between.
   */
  state: z.enum(['Exported', 'Verified', 'Deleted']),
  rows: z.int(),
  /** Sum of the rows' hashes as the database computed it, decimal. */
  hash: z.string(),
  bytes: z.int(),
  /** Of the file, hexadecimal. */
  sha256: z.string(),
  /** Rows are older than this, in the text of the column's type. */
  cutoff: z.string(),
  /** Time and key of the first and the last row, as texts. */
  first: z.array(z.string()),
  last: z.array(z.string()),
  columns: z.array(column),
  exportedAt: z.string(),
  verifiedAt: z.string().exactOptional(),
  deletedAt: z.string().exactOptional(),
  /** Rows that were not deleted because they had changed. */
  kept: z.int().exactOptional(),
});
export type Part = z.infer<typeof part>;

const manifest = z.object({
  format: z.literal(1),
  table: z.string(),
  shard: z.string(),
  date: z.string(),
  column: z.string(),
  parts: z.array(part),
});
export type Manifest = z.infer<typeof manifest>;

/** Throws {@link ManifestError}. */
export async function readManifest(
  store: ObjectStore,
  folder: ShardFolder,
  date: string,
): Promise<Manifest | undefined> {
  const key = manifestKey(folder, date);
  const bytes = await store.get(key);
  if (bytes === undefined) return undefined;
  try {
    return manifest.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (cause) {
    throw new ManifestError(`${key} cannot be read as a manifest`, { cause });
  }
}

export async function writeManifest(
  store: ObjectStore,
  folder: ShardFolder,
  content: Manifest,
): Promise<void> {
  const text = `${JSON.stringify(content, undefined, 2)}\n`;
  await store.put(manifestKey(folder, content.date), Buffer.from(text), 'application/json');
}

/** Removes files that a run left which was cut off before it could name them. */
export async function sweep(
  store: ObjectStore,
  folder: ShardFolder,
  date: string,
  content: Manifest | undefined,
): Promise<void> {
  const within = dayFolder(folder, date);
  const named = new Set(content?.parts.map(({ file }) => within + file));
  for (const key of await store.list(within)) {
    if (partNumber(key.slice(within.length)) !== undefined && !named.has(key)) await store.delete(key);
  }
}
