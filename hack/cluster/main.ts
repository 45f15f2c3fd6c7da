/**
 * `node hack/cluster/main.ts up | down | forget`: `down` removes the cluster, `forget` also every image that was made
 * here and the cache. A Docker engine that was started here runs on.
 */
import { rm } from 'node:fs/promises';

import { engineAnswers } from '#hack/cluster/docker.ts';
import { ensureCluster } from '#hack/cluster/ensure.ts';
import { removeCluster } from '#hack/cluster/kind-cluster.ts';
import { cacheDir } from '#hack/paths.ts';
import { main } from '#hack/progress.ts';
import { run } from '#hack/run.ts';

await main(async () => {
  const verb = process.argv[2];
  if (verb === 'up') await ensureCluster();
  else if (verb === 'down') await down();
  else if (verb === 'forget') {
    await down();
    await removeImages();
    await rm(cacheDir, { recursive: true, force: true });
  } else throw new Error('usage: main.ts up | down | forget');
});

async function down(): Promise<void> {
  if (await engineAnswers()) await removeCluster();
}

async function removeImages(): Promise<void> {
  if (!(await engineAnswers())) return;
  const listed = await run('docker', ['images', '--quiet', '--filter=reference=shardwright/*']);
  const images = [...new Set(listed.split('\n').filter(id => id !== ''))];
  if (images.length > 0) await run('docker', ['rmi', '--force', ...images]);
}
