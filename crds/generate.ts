/**
 * Writes crds/*.yaml, the chart's copies and docs/api-reference.md from the schemas in crds/api.
 *
 *     node crds/generate.ts            # write what has changed
 *     node crds/generate.ts --check    # write nothing; exit 1 where a file would change
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { definitionOf } from './generate/definition.ts';
import { referenceFile } from './generate/reference.ts';
import { chartFile, crdFile } from './generate/yaml.ts';
import { kinds } from './kinds.ts';

const root = join(import.meta.dirname, '..');

/** The files by path from the project's root, with what they must hold. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const kind of kinds) {
    const definition = definitionOf(kind);
    files.set(`crds/${kind.resource.plural}.yaml`, crdFile(definition));
    files.set(`charts/shardwright/templates/crds/${kind.resource.plural}.yaml`, chartFile(definition));
  }
  files.set('docs/api-reference.md', referenceFile(kinds));
  return files;
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The paths of files that are not what they must be. */
export async function driftedFiles(): Promise<readonly string[]> {
  const drifted: string[] = [];
  for (const [path, content] of generatedFiles()) {
    if ((await read(join(root, path))) !== content) drifted.push(path);
  }
  return drifted;
}

/** Writes the files that are not what they must be; returns their paths. */
export async function writeGeneratedFiles(): Promise<readonly string[]> {
  const files = generatedFiles();
  const drifted = await driftedFiles();
  for (const path of drifted) {
    const target = join(root, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, files.get(path) ?? '');
  }
  return drifted;
}

if (import.meta.main) {
  const check = process.argv.includes('--check');
  const paths = check ? await driftedFiles() : await writeGeneratedFiles();
  for (const path of paths) process.stdout.write(`${check ? 'differs' : 'wrote'} ${path}\n`);
  if (check && paths.length > 0) process.exitCode = 1;
}
