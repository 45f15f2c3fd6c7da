/** `node hack/images/main.ts`: builds the images, loads them into the cluster and prints their names. */
import { ensureCluster } from '#hack/cluster/ensure.ts';
import { ensureImages } from '#hack/images/build.ts';
import { main, say } from '#hack/progress.ts';

await main(async () => {
  const images = await ensureImages(await ensureCluster());
  for (const reference of Object.values(images)) say(reference);
});
