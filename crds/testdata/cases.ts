/** The tables of wrong manifests, and the samples that they start from. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { group } from '../api/names.ts';

const root = join(import.meta.dirname, '..', '..');

const testCase = z.strictObject({
  wrong: z.string(),
  change: z.record(z.string(), z.unknown()),
  says: z.string(),
});
const table = z.strictObject({ base: z.string(), cases: z.array(testCase) });
const tables = z.strictObject({ groups: z.array(table) });

export type InvalidTable = z.infer<typeof table>;

const manifest = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
});
export type Manifest = z.infer<typeof manifest>;

const invalid = (name: string) => readFile(join(import.meta.dirname, 'invalid', name), 'utf8');

/** Manifests that cannot be created. */
export async function wrongManifests(): Promise<readonly InvalidTable[]> {
  const names = ['shard-cluster.yaml', 'shard-migration.yaml', 'backup-policy.yaml'];
  return Promise.all(names.map(async name => table.parse(parse(await invalid(name)))));
}

/** Changes that an existing object cannot take. */
export async function wrongUpdates(): Promise<readonly InvalidTable[]> {
  return tables.parse(parse(await invalid('updates.yaml'))).groups;
}

/** Every object of ours in a file under the project's root. */
export async function manifestsIn(path: string): Promise<readonly Manifest[]> {
  return parseAllDocuments(await readFile(join(root, path), 'utf8'))
    .map(document => manifest.parse(document.toJS()))
    .filter(object => object.apiVersion.startsWith(`${group}/`));
}

/** The first of them. */
export async function manifestIn(path: string): Promise<Manifest> {
  const [first] = await manifestsIn(path);
  if (first === undefined) throw new Error(`no object of ours in ${path}`);
  return first;
}

/** Paths of all samples, from the project's root. */
export async function samplePaths(): Promise<readonly string[]> {
  const files = await readdir(join(root, 'manifests/samples'), { recursive: true });
  return files
    .filter(file => file.endsWith('.yaml'))
    .map(file => `manifests/samples/${file}`)
    .toSorted();
}

/** JSON merge patch (RFC 7386). */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const result = new Map(isRecord(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) result.delete(name);
    else result.set(name, mergePatch(result.get(name), value));
  }
  return Object.fromEntries(result);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The manifest with a change, which may break its schema but not its identity. */
export function changed(base: Manifest, change: unknown): Manifest {
  return manifest.parse(mergePatch(base, change));
}
