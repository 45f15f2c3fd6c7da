import { beforeEach, describe, expect, test } from 'vitest';
import { withShardState } from '#sharding/change.ts';
import type { ShardMap } from '#sharding/map.ts';
import { createRouter } from '#sharding/router.ts';
import { sampleMaps } from '#sharding/testing/fixtures.ts';
import { move } from '#sharding/testing/moves.ts';
import { describeError } from './errors.ts';
import { FakeCluster } from './testing/fake-cluster.ts';
import { clusterOf, pagesOf, primaryOf, shardsOf } from './testing/fleets.ts';

const { even, range, directory, geo } = sampleMaps();

let cluster: FakeCluster;

function withFleet(map: ShardMap): void {
  cluster = new FakeCluster();
  cluster.add(clusterOf(map), ...shardsOf(map), ...pagesOf(map));
}

beforeEach(() => withFleet(even));

/** The command line that must be run. */
function exec(pod: string, flag: string): string {
  return (
    `kubectl --namespace=demo exec ${flag} ${pod} --container=database -- ` +
    'env PSQL_HISTORY=/dev/null PSQL_PAGER= psql -h /run/postgresql -U postgres -d app'
  );
}

describe('status', () => {
  test('lists the fleets of a namespace, or of all', async () => {
    cluster.add(clusterOf({ ...even, namespace: 'other', cluster: 'chat' }));
    expect((await cluster.run('status')).out).toBe(
      'NAME     ALGORITHM   READY   MEMBERS   EPOCH   STATUS   AGE\n' +
        'social   hash        4/4     2         1       Ready    3h\n',
    );
    const everywhere = (await cluster.run('status', '-A')).out.split('\n');
    expect(everywhere[1]).toMatch(/^demo +social /);
    expect(everywhere[2]).toMatch(/^other +chat /);
  });

  test('shows one fleet with its shards', async () => {
    const { out } = await cluster.run('status', 'social');
    expect(out).toContain('Ready:    True, AllShardsReady: all shards are ready\n');
    expect(out).toContain('Sharding: hash, 1024 slots, bigint keys\n');
    expect(out).toMatch(/^social-2 +- +active +2\/2 +social-2-0 +1\.5 KiB +7\.6 MiB +256 +1\/1 +Ready$/m);
  });

  test('says why a fleet is not Ready, and that it is paused', async () => {
    cluster = new FakeCluster();
    const condition = { reason: 'NodeMissing', lastTransitionTime: '2026-01-01T22:00:00Z' };
    cluster.add(
      clusterOf(even, {
        metadata: { name: 'social', namespace: 'demo', annotations: { 'shardwright.io/paused': 'true' } },
        status: {
          conditions: [
            { ...condition, type: 'Ready', status: 'False', message: 'no shard is up' },
            {
              ...condition,
              type: 'Stalled',
              status: 'True',
              message: 'region eu-west has no node: label one',
            },
          ],
        },
      }),
    );
    const { out } = await cluster.run('status', 'social');
    expect(out).toContain('Status:   NodeMissing\n');
    expect(out).toContain('Stalled:  True, NodeMissing: region eu-west has no node: label one\n');
    expect(out).toMatch(/^Paused: +yes/m);
    expect((await cluster.run('status')).out).toMatch(/social +hash +0\/4 .* NodeMissing +-/);
  });

  test('as JSON has what programs need', async () => {
    const one = JSON.parse((await cluster.run('status', 'social', '-o', 'json')).out);
    expect(one).toMatchObject({ name: 'social', ready: true, status: { map: { epoch: 1 } } });
    expect(one.shardList).toHaveLength(4);
    expect(JSON.parse((await cluster.run('-o', 'json', 'status')).out)).toHaveLength(1);
  });
});

describe('map', () => {
  test('shows the slots of each shard, and where readers are elsewhere', async () => {
    const partition = { kind: 'slots', slots: 1024, ranges: [{ first: 0, last: 9 }] } as const;
    withFleet(
      withShardState(
        move(even, { partition, from: 'social-0', to: 'social-1', side: 'read' }),
        'social-3',
        'readonly',
      ),
    );
    const { out } = await cluster.run('map', 'social');
    expect(out).toContain('Epoch:     3, in 3 pages\n');
    expect(out).toMatch(/^social-0 +- +active +1\/2 +256 +25\.0 % +0-255; readers: 10-255$/m);
    expect(out).toMatch(/^social-3 +- +readonly +1\/1 +256 +25\.0 % +768-1023$/m);
  });

  test.each([
    ['range', range, /^social-1 .* from g to below n$/m],
    ['directory', directory, /^social-0 .* all keys without an entry$/m],
    ['geo', geo, /^social-3 +us-east .* us-east: 512-1023$/m],
  ])('of a %s fleet says what is owned', async (_, map, line) => {
    withFleet(map);
    expect((await cluster.run('map', 'social')).out).toMatch(line);
  });

  test('as JSON has hosts and partitions', async () => {
    const { shards, algorithm } = JSON.parse((await cluster.run('map', 'social', '-o', 'json')).out);
    expect(algorithm).toBe('hash');
    expect(shards[1]).toMatchObject({
      name: 'social-1',
      writeEndpoint: 'social-1.demo.svc:6432',
      readEndpoint: 'social-1-ro.demo.svc:6432',
      owns: { kind: 'slots', ranges: [{ first: 256, last: 511 }] },
    });
  });
});

describe('locate', () => {
  test('says slot, shard and where to connect', async () => {
    const { shard, slot } = createRouter(even).route(42);
    const { out } = await cluster.run('locate', '42');
    expect(out).toContain(`Slot:  ${slot} of 1024\n`);
    expect(out).toContain(`Shard: ${shard}, active\n`);
    expect(out).toContain(`Write: ${shard}.demo.svc:6432 as app_g1\n`);
    const json = JSON.parse((await cluster.run('locate', '42', '-o', 'json')).out);
    expect(json).toMatchObject({
      cluster: 'social',
      slot,
      write: { shard, login: 'app_g1' },
      read: { login: 'app_ro_g1' },
    });
  });

  test('takes negative keys behind --', async () => {
    expect((await cluster.run('locate', '--', '-7')).out).toContain('Key:   -7\n');
  });

  test('knows ranges, entries and regions', async () => {
    withFleet(range);
    expect((await cluster.run('locate', 'hello')).out).toContain('Range: g to below n\n');
    withFleet(directory);
    expect((await cluster.run('locate', '7')).out).toContain('Entry: its own\n');
    expect((await cluster.run('locate', '8')).out).toContain('Entry: none: the default shard\n');
    withFleet(geo);
    expect((await cluster.run('locate', '7', '--region', 'us-east')).out).toMatch(
      /Shard: social-[13], active/,
    );
    await expect(cluster.run('locate', '7')).rejects.toThrow(/region and key/);
    await expect(cluster.run('locate', '7', '--region', 'mars')).rejects.toThrow(/no region "mars"/);
  });
});

describe('psql', () => {
  beforeEach(() =>
    cluster.add(primaryOf(even, 'social-1'), primaryOf(even, createRouter(even).route(42).shard)),
  );

  test("goes to the primary's pod, with a terminal if we have one", async () => {
    expect((await cluster.run('psql', 'social-1')).ran).toEqual([exec('social-1-1', '-i')]);
    cluster.terminal = true;
    expect((await cluster.run('psql', 'social-1')).ran).toEqual([exec('social-1-1', '-it')]);
  });

  test('finds the shard of a key, and hands on what follows --', async () => {
    const { shard } = createRouter(even).route(42);
    const { ran, error } = await cluster.run('psql', '--key', '42', '--', '-c', 'select 1');
    expect(ran).toEqual([`${exec(`${shard}-1`, '-i')} -c select 1`]);
    expect(error).toBe(`key 42 is on ${shard}\n`);
    expect((await cluster.run('psql', 'social-1', '--', '-l')).ran).toEqual([
      `${exec('social-1-1', '-i')} -l`,
    ]);
  });

  test("ends with psql's exit code", async () => {
    cluster.exitCode = 3;
    expect((await cluster.run('psql', 'social-1')).code).toBe(3);
    cluster.exitCode = undefined;
    await expect(cluster.run('psql', 'social-1')).rejects.toThrow(/kubectl is not on the PATH/);
  });
});

describe('what is missing is named, with what to do', () => {
  test.each([
    ['a fleet', ['status', 'nope'], /no ShardCluster nope in namespace demo/, /--all-namespaces/],
    ['a namespace', ['-n', 'empty', 'locate', '1'], /no ShardCluster in namespace empty/, /-n/],
    ['a shard', ['psql', 'social-9'], /no shard social-9/, /kubectl get shards/],
    [
      'a primary',
      ['psql', 'social-0'],
      /social-0 has no primary/,
      /kubectl get pods -n demo -l shardwright\.io\/shard=social-0/,
    ],
    ['any shard', ['psql'], /no shard was named/, /--key 42/],
    ['a secret', ['query', 'select 1', '--timeout', '1'], /Secret social-app is not there/, /status social/],
    [
      'a kubeconfig',
      ['--kubeconfig', '/nowhere/config', 'status'],
      /cannot read \/nowhere\/config/,
      /--kubeconfig/,
    ],
  ])('%s', async (_, args, message, remedy) => {
    const text = await cluster.run(...args).then(String, describeError);
    expect(text).toMatch(message);
    expect(text).toMatch(remedy);
    expect(cluster.open).toBe(0);
  });

  test('a map', async () => {
    cluster = new FakeCluster();
    cluster.add(clusterOf(even));
    await expect(cluster.run('map', 'social')).rejects.toThrow(/is not there yet/);
  });

  test('a map that is whole', async () => {
    cluster = new FakeCluster();
    cluster.add(clusterOf(even), ...pagesOf(even).filter(page => !JSON.stringify(page).includes('slots-0')));
    await expect(cluster.run('map', 'social')).rejects.toThrow(/slots-0 is missing/);
  });

  test('the operator', async () => {
    cluster = new FakeCluster();
    cluster.unknownKinds.add('ShardCluster');
    await expect(cluster.run('status')).rejects.toThrow(/does not know the kind ShardCluster/);
    await expect(cluster.run('status', 'social')).rejects.toThrow(/does not know the kind ShardCluster/);
  });

  test('the one fleet among several', async () => {
    cluster.add(clusterOf({ ...even, cluster: 'chat' }));
    await expect(cluster.run('locate', '42')).rejects.toThrow(/more than one ShardCluster: chat, social/);
    expect((await cluster.run('locate', '42', '--cluster', 'social')).out).toContain('Fleet: social');
  });
});

test.each([
  [['query', 'select 1', '--by-shard', '--limit', '3'], /exclude each other/],
  [['query', 'select 1', '--group-by', 'a'], /--group-by without --aggregate/],
  [['query', 'select 1', '--aggregate', 'n=median'], /--aggregate n=median/],
  [['query', 'select 1', '--limit', '0'], /whole number above 0/],
  [['status', '-o', 'yaml'], /Allowed choices are table, json/],
  [['drop'], /unknown command 'drop'/],
])('wrong options are refused: %j', async (args, message) => {
  await expect(cluster.run(...args)).rejects.toThrow(message);
});

test.each(['status', 'map', 'locate', 'psql', 'query'])('%s --help has examples', async command => {
  await expect(cluster.run(command, '--help')).rejects.toThrow(/outputHelp/);
  expect(cluster.lastOutput).toContain(`Examples:\n  kubectl shardwright ${command}`);
});
