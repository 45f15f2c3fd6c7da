/** The last map on disk. A damaged or missing file is as good as none: the operator has the truth. */
import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { type MapDelta, parseDelta } from '#sharding/delta.ts';
import { ShardingError } from '#sharding/errors.ts';

export async function readMapFile(path: string): Promise<MapDelta | undefined> {
  try {
    return parseDelta(await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof ShardingError || isMissing(error)) return undefined;
    throw error;
  }
}

/** Whoever reads at the same time sees the old file or the new one, never half of it. */
export async function writeMapFile(path: string, map: MapDelta): Promise<void> {
  const scratch = `${path}.${randomUUID()}`;
  try {
    await writeFile(scratch, JSON.stringify(map), { mode: 0o600, flush: true });
    await rename(scratch, path);
  } catch (error) {
    await rm(scratch, { force: true });
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
