/**
 * The project's images, tagged by a hash of all that goes into them: an image that exists is never built again, and a
 * Deployment changes exactly when its image does.
 */
import { copyFile, cp, link, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { imageExists } from '#hack/cluster/debian.ts';
import { type Cluster, ensureBaseImage } from '#hack/cluster/ensure.ts';
import { bundleProgram } from '#hack/images/bundle.ts';
import { imageRegistry, loadImage } from '#hack/images/load.ts';
import { ensureNodeRuntime } from '#hack/images/node-runtime.ts';
import { withLock } from '#hack/lock.ts';
import { contentHash } from '#hack/once.ts';
import { repoDir } from '#hack/paths.ts';
import { step } from '#hack/progress.ts';
import { run } from '#hack/run.ts';
import { ensureTool } from '#hack/tools.ts';

/** References of the images, `repository:tag`. */
export interface Images {
  readonly operator: string;
  readonly postgres: string;
}

/** Builds what is missing and, given a cluster, brings it to every node that misses it. */
export async function ensureImages(cluster?: Cluster): Promise<Images> {
  return withLock('images', async () => {
    const images = { operator: await ensureOperatorImage(), postgres: await ensurePostgresImage() };
    if (cluster) for (const reference of Object.values(images)) await loadImage(reference, cluster);
    return images;
  });
}

async function ensureOperatorImage(): Promise<string> {
  const context = join(repoDir, 'dist/operator');
  await bundleProgram(join(repoDir, 'operator/main.ts'), join(context, 'operator.mjs'));
  // The same image for the Jobs that archive: a node has it already, or will want it.
  await bundleProgram(join(repoDir, 'archive/main.ts'), join(context, 'archive.mjs'));
  const runtime = await ensureNodeRuntime();
  const dockerfile = join(repoDir, 'images/operator/Dockerfile');
  const bundles = await Promise.all(
    ['operator.mjs', 'archive.mjs'].map(name => readFile(join(context, name))),
  );
  const reference = imageName('operator', [await readFile(dockerfile), runtime.version, ...bundles]);
  return buildOnce(reference, context, async () => {
    await copyFile(dockerfile, join(context, 'Dockerfile'));
    const node = join(context, 'node');
    await rm(node, { force: true });
    await link(runtime.path, node).catch(() => copyFile(runtime.path, node));
  });
}

export async function ensurePostgresImage(): Promise<string> {
  const source = join(repoDir, 'images/postgres');
  const entries = await readdir(source, { recursive: true, withFileTypes: true });
  const files = entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .toSorted();
  const parts: (string | Uint8Array)[] = [];
  for (const file of files) parts.push(file.slice(source.length), await readFile(file));
  const context = join(repoDir, 'dist/postgres');
  return buildOnce(imageName('postgres', parts), context, async () => {
    await rm(context, { recursive: true, force: true });
    await cp(source, context, { recursive: true });
  });
}

/** The S3 server that backups go to in the demo and in tests. Not among {@link Images}: the chart does not know it. */
export async function ensureObjectStoreImage(cluster: Cluster): Promise<string> {
  return withLock('images', async () => {
    const program = await ensureTool('versitygw');
    const dockerfile = join(repoDir, 'images/object-store/Dockerfile');
    const reference = imageName('object-store', [await readFile(dockerfile), await readFile(program)]);
    const context = join(repoDir, 'dist/object-store');
    await buildOnce(reference, context, async () => {
      await mkdir(context, { recursive: true });
      await copyFile(dockerfile, join(context, 'Dockerfile'));
      await copyFile(program, join(context, 'versitygw'));
    });
    await loadImage(reference, cluster);
    return reference;
  });
}

function imageName(name: string, parts: readonly (string | Uint8Array)[]): string {
  return `${imageRegistry ?? 'shardwright'}/${name}:${contentHash(parts).slice(0, 12)}`;
}

async function buildOnce(reference: string, context: string, prepare: () => Promise<void>): Promise<string> {
  if (await imageExists(reference)) return reference;
  await ensureBaseImage();
  await step(`build ${reference}`, async () => {
    await prepare();
    // The host's network reaches what the host reaches, mirrors of Debian packages above all. Without attestations an
    // image is one manifest, which containerd imports from an archive as it is.
    await run('docker', ['build', '--network', 'host', '--tag', reference, context], {
      env: { BUILDX_NO_DEFAULT_ATTESTATIONS: '1' },
    });
  });
  return reference;
}
