/**
 * Node.js for Linux out of the npm registry, in the version that the project is developed with. Works on any host: what
 * runs here may be another system or processor, but the engine's own architecture is what an image is for.
 */
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { withLock } from '#hack/lock.ts';
import { cacheDir, repoDir } from '#hack/paths.ts';
import { step } from '#hack/progress.ts';
import { run } from '#hack/run.ts';
import { SetupError } from '#hack/setup-error.ts';

const manifest = z.object({ devDependencies: z.object({ node: z.string() }) });

export interface NodeRuntime {
  readonly version: string;
  /** Absolute path of the executable. */
  readonly path: string;
}

/** Fetched once for each version and architecture. */
export async function ensureNodeRuntime(): Promise<NodeRuntime> {
  const json: unknown = JSON.parse(await readFile(join(repoDir, 'package.json'), 'utf8'));
  const version = manifest.parse(json).devDependencies.node;
  const architecture = await engineArchitecture();
  const folder = join(cacheDir, 'node', `${version}-${architecture}`);
  const path = join(folder, 'package/bin/node');
  if (!(await exists(path))) {
    await withLock('node-runtime', async () => {
      if (!(await exists(path))) await step(`fetch Node.js ${version} for ${architecture}`, fetch);
    });
  }
  return { version, path };

  async function fetch(): Promise<void> {
    await mkdir(join(cacheDir, 'node'), { recursive: true });
    const scratch = await mkdtemp(join(cacheDir, 'node', 'fetching-'));
    try {
      const file = await run('npm', ['pack', '--silent', `node-linux-${architecture}@${version}`], {
        cwd: scratch,
      });
      await run('tar', ['--extract', '--gzip', '--file', file], { cwd: scratch });
      await rm(join(scratch, file));
      await rename(scratch, folder);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }
}

async function engineArchitecture(): Promise<'x64' | 'arm64'> {
  const named = await run('docker', ['version', '--format', '{{.Server.Arch}}']);
  switch (named) {
    case 'amd64':
      return 'x64';
    case 'arm64':
      return 'arm64';
    default:
      throw new SetupError(
        'EngineFailed',
        `the Docker engine runs on ${named}, for which no Node.js is packaged`,
        'use an engine on amd64 or arm64',
      );
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
