/** `node hack/cluster/main.ts up | down` */

import { engineAnswers } from '#hack/cluster/docker.ts';
import { ensureCluster } from '#hack/cluster/ensure.ts';
import { removeCluster } from '#hack/cluster/kind-cluster.ts';
import { main } from '#hack/progress.ts';

await main(async () => {
  const verb = process.argv[2];
  if (verb === 'up') await ensureCluster();
  else if (verb === 'down') {
    if (await engineAnswers()) await removeCluster();
  } else throw new Error('usage: main.ts up | down');
});
