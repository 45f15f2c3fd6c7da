/**
 * `make demo`: a fleet of four PostgreSQL shards in two regions on a real cluster, loaded with real data, one of which is then
 * split while it is written and read, and another restored from its backup. Everything is made if need be and stays up; a second run finds it and shows it again.
 */
import { join } from 'node:path';
import { ensureDeployed } from '#hack/deploy.ts';
import { repoDir } from '#hack/paths.ts';
import { main, say, step } from '#hack/progress.ts';
import { run } from '#hack/run.ts';
import { backUpAndDrill } from './backup.ts';
import { connect, ensureFleet, fleetName, kubectlFor } from './fleet.ts';
import { loadWorld } from './load.ts';
import { compareWithPlain, showPointQuery, showSpread } from './show.ts';
import { splitUnderLoad } from './split.ts';
import { loadCities } from './world.ts';

/** The plugin is built for these; it works on the current namespace of KUBECONFIG. */
const nextSteps = [
  ['kubectl get shardclusters,shards', 'the fleet and its shards: primary, lag, size'],
  [`dist/kubectl-shardwright status ${fleetName}`, 'the same at a glance'],
  [`dist/kubectl-shardwright psql ${fleetName}-0`, 'SQL on one shard'],
  [`dist/kubectl-shardwright query 'SELECT count(*) FROM cities'`, 'SQL on all of them, merged'],
  ['kubectl get shardmigrations', 'what was moved, and how long writes waited'],
  ['kubectl get backuppolicies', 'what would be lost, and how long a restore takes: both measured'],
  [`kubectl delete pod ${fleetName}-0-0 --force`, 'lose a member; watch: kubectl get shards --watch'],
  ['make clean', 'remove the cluster and everything in it'],
] as const;

await main(async () => {
  const { cluster, images } = await ensureDeployed();
  const kubectl = await kubectlFor(cluster);
  await ensureFleet(kubectl);
  const cities = loadCities();
  const client = await connect(cluster);
  try {
    await loadWorld(client, cities);
    await showSpread(client);
    await showPointQuery(client, cities);
    await compareWithPlain(client, kubectl, images.postgres, cities);
    await splitUnderLoad(kubectl, images.operator, client);
    await showSpread(client);
    await backUpAndDrill(kubectl, cluster);
  } finally {
    await client.close();
  }
  await step('build the kubectl plugin', () => run(process.execPath, [join(repoDir, 'hack/build-cli.ts')]));
  say('');
  say('It stays up. What to try next:');
  say('');
  if (cluster.kind) say(`  export KUBECONFIG=${cluster.kubeconfig}`);
  for (const [command, meaning] of nextSteps) say(`  ${command.padEnd(60)} ${meaning}`);
  say('');
});
