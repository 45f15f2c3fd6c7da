/**
 * Remembers what was already made. A stamp holds the hash of everything that went into a thing; while the hash is the
 * same the work is not done again. The stamp is written last, so work that was cut short is done again.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stampDir } from '#hack/paths.ts';

/** A short hash over strings and bytes; the order and the borders between them count. */
export function contentHash(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest('hex').slice(0, 16);
}

export interface Stamp {
  readonly name: string;
  readonly hash: string;
}

export async function isDone(stamp: Stamp): Promise<boolean> {
  const found = await readFile(join(stampDir, stamp.name), 'utf8').catch(() => '');
  return found.trim() === stamp.hash;
}

export async function markDone(stamp: Stamp): Promise<void> {
  await writeAtomically(join(stampDir, stamp.name), `${stamp.hash}\n`);
}

/** A reader sees the old file or the new one, never half of it. */
export async function writeAtomically(
  path: string,
  content: string | Uint8Array,
  mode = 0o644,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, content, { mode });
  await rename(temporary, path);
}
