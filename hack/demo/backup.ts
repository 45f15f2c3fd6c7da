/** The demo's end: the fleet is bound to a BackupPolicy, and one shard is restored from the object store alone to measure it. */

import type { DrillResult } from '#crds/api/backup/shard-status.ts';
import { type BackupPolicy, parseBackupPolicy } from '#crds/api/backup-policy.ts';
import { annotations } from '#crds/api/names.ts';
import { parseShard, type Shard } from '#crds/api/shard.ts';
import type { Cluster } from '#hack/cluster/ensure.ts';
import { ensureObjectStoreImage } from '#hack/images/build.ts';
import {
  type ObjectStoreOptions,
  objectStoreEndpoint,
  objectStoreSecrets,
  objectStoreServer,
} from '#hack/object-store/objects.ts';
import { detail, say, step } from '#hack/progress.ts';
import { SetupError } from '#hack/setup-error.ts';
import { fleetName, type Kubectl, namespace } from './fleet.ts';

const store = 'objects';
const bucket = 'backups';
const policyName = 'social';
const drilled = `${fleetName}-1`;
const lookEveryMs = 500;
const withinMs = 15 * 60_000;

const policy = {
  apiVersion: 'shardwright.io/v1alpha1',
  kind: 'BackupPolicy',
  metadata: { name: policyName },
  spec: {
    clusters: { names: [fleetName] },
    objectives: { rpo: '10s', rto: '5m' },
    // The first full backups are made at once, two at a time: this machine may be small.
    schedule: { full: '0 2 * * 0', incremental: '0 * * * *', maxConcurrent: 2 },
    destinations: [
      {
        s3: {
          endpoint: objectStoreEndpoint({ name: store, namespace }),
          bucket,
          credentials: { secretName: `${store}-credentials` },
          ca: { secretName: `${store}-ca` },
        },
      },
    ],
    drill: { schedule: '0 4 * * *', sample: 1 },
  },
};

export async function backUpAndDrill(kubectl: Kubectl, cluster: Cluster): Promise<void> {
  const image = await ensureObjectStoreImage(cluster);
  await step('an object store in the cluster (versitygw, S3 over TLS)', () => ensureStore(kubectl, image));
  await step(`a BackupPolicy for ${fleetName}: RPO 10 s, RTO 5 min; the first full backups`, async () => {
    await kubectl(['apply', '--filename=-'], JSON.stringify(policy));
    await until('the fleet is not backed up', async () => {
      const { status } = await look(kubectl);
      const { backups, achieved, conditions = [] } = status ?? {};
      detail(
        `${backups?.stored ?? 0} backups stored, ${backups?.running ?? 0} running; worst RPO ${achieved?.rpoSeconds ?? '-'} s`,
      );
      const ready = conditions.find(({ type }) => type === 'Ready');
      return { done: ready?.status === 'True', last: ready?.message ?? 'nothing is known of it' };
    });
  });
  const drill = await step(`restore ${drilled} from the object store alone, and compare`, () =>
    drillOnce(kubectl),
  );
  await tell(kubectl, drill);
}

/** Made once: what an earlier run stored can be read only with its own Secrets. */
async function ensureStore(kubectl: Kubectl, image: string): Promise<void> {
  const options: ObjectStoreOptions = {
    namespace,
    name: store,
    image,
    bucket,
    volume: '4Gi',
    now: new Date(),
  };
  const present = await kubectl(['get', 'secret', `${store}-tls`, '--ignore-not-found', '--output=name']);
  const secrets = present === '' ? await objectStoreSecrets(options) : [];
  const items = [...secrets, ...objectStoreServer(options)];
  await kubectl(['apply', '--filename=-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  await kubectl(['rollout', 'status', `deployment/${store}`, '--timeout=180s']);
}

async function drillOnce(kubectl: Kubectl): Promise<DrillResult> {
  const before = (await lookAtShard(kubectl)).status?.backup?.drill?.last?.request;
  await kubectl(['annotate', 'shard', drilled, `${annotations.drillNow}=demo`, '--overwrite']);
  let result: DrillResult | undefined;
  await until('the drill does not end', async () => {
    const drill = (await lookAtShard(kubectl)).status?.backup?.drill;
    result = drill?.last?.request === before ? undefined : drill?.last;
    return { done: result !== undefined, last: drill?.running === true ? 'it runs' : 'it has not begun' };
  });
  if (result === undefined) throw failed('the drill does not end', 'no result');
  if (!result.passed) throw failed('the drill failed', result.failure ?? 'no cause was told');
  return result;
}

async function tell(kubectl: Kubectl, drill: DrillResult): Promise<void> {
  const { status } = await look(kubectl);
  const steps = drill.steps.map(({ name, seconds }) => `${name} ${seconds.toFixed(1)} s`).join(', ');
  say(
    `achieved RPO  worst ${status?.achieved?.rpoSeconds ?? '-'} s of all shards in the last minute (objective 10 s)`,
  );
  say(`achieved RTO  ${drill.rtoSeconds?.toFixed(1) ?? '-'} s for ${drilled} (objective 5 min): ${steps}`);
  for (const { name, message } of drill.checks) say(`  checked     ${name}: ${message}`);
}

async function look(kubectl: Kubectl): Promise<BackupPolicy> {
  return parseBackupPolicy(JSON.parse(await kubectl(['get', 'backuppolicy', policyName, '--output=json'])));
}

async function lookAtShard(kubectl: Kubectl): Promise<Shard> {
  return parseShard(JSON.parse(await kubectl(['get', 'shard', drilled, '--output=json'])));
}

async function until(
  what: string,
  ask: () => Promise<{ readonly done: boolean; readonly last: string }>,
): Promise<void> {
  const untilMs = performance.now() + withinMs;
  for (;;) {
    const { done, last } = await ask();
    if (done) return;
    if (performance.now() > untilMs) throw failed(what, last);
    await new Promise(resolve => setTimeout(resolve, lookEveryMs));
  }
}

function failed(what: string, last: string): SetupError {
  return new SetupError(
    'BackupFailed',
    `${what}: ${last}`,
    `Look at it: kubectl describe backuppolicy ${policyName}; kubectl describe shard ${drilled}; kubectl get jobs,pods`,
  );
}
