/** The demo's end: a shard is split while an application writes and reads, and the application is asked what it noticed. */
import { join } from 'node:path';
import { oneLine } from '#cli/migration/draw.ts';
import { endingOf, stalledOf } from '#cli/migration/story.ts';
import type { Client } from '#client/index.ts';
import { parseShardMigration, type ShardMigration } from '#crds/api/shard-migration.ts';
import { repoDir } from '#hack/paths.ts';
import { detail, say, step } from '#hack/progress.ts';
import { SetupError } from '#hack/setup-error.ts';
import { shardByOrdinal } from '#sharding/map.ts';
import { ownerOrdinals } from '#sharding/owners.ts';
import { awaitFleet, fleetName, type Kubectl } from './fleet.ts';
import { number } from './load.ts';
import { type Program, withProgram } from './program.ts';
import { parseTraffic, type TrafficReport } from './traffic/shape.ts';

const shards = 5;
const migrationName = `split-${fleetName}-0`;
const lookEveryMs = 500;
const withinMs = 10 * 60_000;
/** What is ordinary is known before anything unusual begins. */
const quietMs = 3000;

const migration = {
  apiVersion: 'shardwright.io/v1alpha1',
  kind: 'ShardMigration',
  metadata: { name: migrationName },
  spec: {
    cluster: { name: fleetName },
    split: { shard: `${fleetName}-0`, into: 2 },
    // Long enough to see it kept, short enough to see the clean-up, too.
    rollbackWindow: '5s',
  },
};

/** Does it once: a fleet that was split by an earlier run is left as it is. */
export async function splitUnderLoad(kubectl: Kubectl, image: string, client: Client): Promise<void> {
  const map = await client.ready();
  const fifth = shardByOrdinal(map, shards - 1);
  if (fifth !== undefined && ownerOrdinals(map, 'write').has(fifth.ordinal)) {
    say(
      `${fleetName}-0 was split by an earlier run. To see it again: kubectl delete shardcluster ${fleetName}`,
    );
    return;
  }
  // One of a fleet that is gone may be left; one that was cut off is taken up again.
  const name = ['shardmigration', migrationName, '--ignore-not-found'];
  const earlier = await kubectl(['get', ...name, '--output=json']);
  if (earlier !== '' && endingOf(parseShardMigration(JSON.parse(earlier))) !== undefined) {
    await kubectl(['delete', ...name, '--wait']);
  }
  await step(`a fifth shard: spec.shards ${shards}`, async () => {
    await kubectl([
      'patch',
      'shardcluster',
      fleetName,
      '--type=merge',
      `--patch={"spec":{"shards":${shards}}}`,
    ]);
    await awaitFleet(kubectl);
  });
  const traffic = {
    name: 'demo-traffic',
    entryPoint: join(repoDir, 'hack/demo/traffic/main.ts'),
    image,
    secret: `${fleetName}-app`,
  };
  const report = await withProgram(kubectl, traffic, async program => {
    await step('an application writes and reads through the client library', () => begun(program));
    await new Promise(resolve => setTimeout(resolve, quietMs));
    await step(`split ${fleetName}-0 in two meanwhile`, () => carryOut(kubectl));
    await new Promise(resolve => setTimeout(resolve, quietMs));
    return step('read back every acknowledged write', async () => reportOf(await program.finish()));
  });
  await tell(report, kubectl);
}

async function begun(program: Program): Promise<void> {
  const untilMs = performance.now() + withinMs;
  while (!parseTraffic(await program.log()).some(({ type }) => type === 'ready')) {
    if (performance.now() > untilMs) throw failed('the traffic does not begin', await program.log());
    await new Promise(resolve => setTimeout(resolve, lookEveryMs));
  }
}

async function carryOut(kubectl: Kubectl): Promise<void> {
  await kubectl(['apply', '--filename=-'], JSON.stringify(migration));
  const untilMs = performance.now() + withinMs;
  for (;;) {
    const found = await look(kubectl);
    detail(oneLine(found).text);
    const ending = endingOf(found);
    if (ending === 'Completed') return;
    const stalled = stalledOf(found);
    if (ending !== undefined || stalled !== undefined) {
      throw failed(`the split is ${ending ?? 'stalled'}`, stalled?.message ?? oneLine(found).text);
    }
    if (performance.now() > untilMs) throw failed('the split does not end', oneLine(found).text);
    await new Promise(resolve => setTimeout(resolve, lookEveryMs));
  }
}

async function look(kubectl: Kubectl): Promise<ShardMigration> {
  return parseShardMigration(
    JSON.parse(await kubectl(['get', 'shardmigration', migrationName, '--output=json'])),
  );
}

function reportOf(text: string): TrafficReport {
  const report = parseTraffic(text).find(record => record.type === 'report');
  if (report === undefined) throw failed('the traffic ended without a report', text.slice(-1000));
  return report;
}

async function tell(report: TrafficReport, kubectl: Kubectl): Promise<void> {
  const {
    acknowledged,
    unknown,
    failed: refused,
    repeated,
    lost,
    doubled,
    scatters,
    usualMs,
    stallMs,
  } = report;
  const { status } = await look(kubectl);
  const fenceMs = status?.cutover?.writeStallMs;
  say('');
  say(`lost ${lost}, doubled ${doubled}, stall ${Math.round(stallMs)} ms`);
  say('');
  say(
    `${number(acknowledged)} writes acknowledged and read back, ${unknown} of unknown outcome, ${refused} calls failed; ` +
      `${scatters.right} of ${scatters.right + scatters.wrong} scatters gave the right count and sum; ` +
      `the client library repeated ${repeated} calls`,
  );
  say(
    `stall: the longest that a write waited beyond the usual ${usualMs} ms around a change of owners` +
      (fenceMs === undefined ? '' : `; the operator measured ${fenceMs} ms from the first lock`),
  );
  if (lost + doubled + scatters.wrong + unknown + refused > 0) {
    throw failed('the split was not invisible to the application', report.errors.join('; '));
  }
}

function failed(message: string, why: string): SetupError {
  return new SetupError(
    'SplitFailed',
    `${message}: ${why}`,
    `Look at it: kubectl describe shardmigration ${migrationName}; kubectl get shards,shardmigrations`,
  );
}
