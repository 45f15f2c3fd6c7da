/** What a person has after `kubectl apply` of a ShardCluster: objects, databases, logins, TLS. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { KubeObject } from '#kernel/object.ts';
import type { Resource } from '#kernel/resource.ts';
import {
  ConfigMaps,
  NetworkPolicies,
  PodDisruptionBudgets,
  Pods,
  RoleBindings,
  Roles,
  Secrets,
  ServiceAccounts,
  Services,
  StatefulSets,
} from '#kernel/resources.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { ShardClusters, Shards } from './support/resources.ts';
import { applicationSql, type Login, startClientPod, superuserSql } from './support/sql.ts';
import { useNamespace } from './support/use-namespace.ts';
import { eventually } from './support/wait.ts';

const space = useNamespace('provision');

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet({ ...usual, shards: 2 }));
  await Promise.all([ns.current(), startClientPod(ns)]);
});

function objectsOf(shard: string): [Resource, string][] {
  return [
    [StatefulSets, shard],
    [PodDisruptionBudgets, shard],
    [ServiceAccounts, shard],
    [Roles, shard],
    [RoleBindings, shard],
    [NetworkPolicies, shard],
    [Services, shard],
    [Services, `${shard}-ro`],
    [Services, `${shard}-members`],
    [ConfigMaps, `${shard}-settings`],
    [Secrets, `${shard}-tls`],
  ];
}

describe('the objects of a fleet', () => {
  it('exist under their documented names, labelled and owned', async () => {
    const ns = space.current;
    for (const shard of await ns.shards()) {
      const { name, uid } = shard.metadata;
      for (const [resource, child] of objectsOf(name)) {
        const object: KubeObject = await ns.get(resource, child);
        expect(object.metadata.labels, `${resource.kind}/${child}`).toMatchObject({
          'app.kubernetes.io/managed-by': 'shardwright',
          'shardwright.io/cluster': 'fleet',
          'shardwright.io/shard': name,
        });
        expect(object.metadata.ownerReferences, `${resource.kind}/${child}`).toMatchObject([
          { kind: 'Shard', name, uid, controller: true },
        ]);
      }
    }
    for (const secret of ['fleet-ca', 'fleet-internal', 'fleet-app']) {
      expect((await ns.get(Secrets, secret)).metadata.labels).toMatchObject({
        'shardwright.io/cluster': 'fleet',
      });
    }
    await ns.get(ConfigMaps, 'fleet-map');
  });

  it('give each shard a primary and a synchronous replica on different nodes', async () => {
    const ns = space.current;
    for (const shard of await ns.shards()) {
      const { name } = shard.metadata;
      const members = await ns.list(Pods, `shardwright.io/shard=${name}`);
      expect(new Set(members.map(pod => pod.spec?.nodeName)).size).toBe(2);
      const replication = await superuserSql(
        ns,
        await ns.primaryOf(name),
        'SELECT application_name, state, sync_state FROM pg_stat_replication',
      );
      const replica = members.map(pod => pod.metadata.name).find(pod => pod !== shard.status?.primary);
      expect(replication).toEqual([`${replica}|streaming|sync`]);
    }
  });

  it('show in kubectl get what a person asks first', async () => {
    const shown = await space.current.kubectl('get', 'shardcluster,shards');
    const lines = shown.split('\n').filter(Boolean);
    expect(lines.find(line => line.includes('shardcluster.shardwright.io/fleet'))).toMatch(/\b2\b.*Ready/);
    for (const shard of ['fleet-0', 'fleet-1']) {
      expect(lines.find(line => line.includes(`shard.shardwright.io/${shard}`))).toContain('Ready');
    }
  });

  it('carry no password in pods, arguments or statuses', async () => {
    const ns = space.current;
    const secrets = [
      ...Object.entries(await ns.secret('fleet-internal')),
      ...Object.entries(await ns.secret('fleet-app')),
    ]
      .filter(([field]) => /password|superuser|replication|pooler|rest|token/.test(field))
      .map(([, value]) => value);
    expect(secrets.length).toBeGreaterThanOrEqual(6);
    const seen = JSON.stringify([
      await ns.list(Pods),
      await ns.list(ShardClusters),
      await ns.list(Shards),
      await ns.list(ConfigMaps),
      await ns.list(StatefulSets),
      await ns.kubectl('get', 'events', '--output', 'json'),
      await operatorLogs(),
    ]);
    for (const secret of secrets) expect(seen.includes(secret), 'a secret was published').toBe(false);
  });
});

describe('a connection', () => {
  it('is encrypted and checked against the fleet’s authority', async () => {
    const ca = (await space.current.secret('fleet-app'))['ca.crt'] ?? '';
    for (const host of ['fleet-0', 'fleet-0-ro', `fleet-1.${space.current.name}.svc`]) {
      const login = { ...(await writer(host)), ca, sslmode: 'verify-full' } as const;
      expect(await applicationSql(space.current, { ...login, port: 6432 }, 'SELECT 1')).toEqual(['1']);
      expect(
        await applicationSql(
          space.current,
          { ...login, port: 5432 },
          'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
        ),
      ).toEqual(['t']);
    }
  });

  it.each([5432, 6432] as const)('without TLS is refused on port %i', async port => {
    const login = { ...(await writer('fleet-0')), port, sslmode: 'disable' } as const;
    await expect(applicationSql(space.current, login, 'SELECT 1')).rejects.toThrow(
      port === 5432 ? /no pg_hba.conf entry/ : /SSL required|TLS/i,
    );
  });

  it.each([5432, 6432] as const)('with a wrong password is refused on port %i', async port => {
    const login = { ...(await writer('fleet-0')), port, password: 'wrong' };
    await expect(applicationSql(space.current, login, 'SELECT 1')).rejects.toThrow(/authentication failed/);
  });

  it('authenticates by SCRAM for every login that has a password', async () => {
    const verifiers = await superuserSql(
      space.current,
      await space.current.primaryOf('fleet-0'),
      "SELECT rolname, split_part(rolpassword, '$', 1) FROM pg_authid WHERE rolpassword IS NOT NULL ORDER BY 1",
    );
    expect(verifiers).toContain('app_g1|SCRAM-SHA-256');
    expect(verifiers).toContain('app_ro_g1|SCRAM-SHA-256');
    expect(verifiers.filter(line => !line.endsWith('|SCRAM-SHA-256'))).toEqual([]);
  });

  it('through port 6432 shares server connections, transaction by transaction', async () => {
    // Over the pod's socket there is no client address; a connection of its own would show one.
    const [viaPooler] = await applicationSql(
      space.current,
      await writer('fleet-0'),
      'SELECT inet_client_addr() IS NULL',
    );
    const [direct] = await applicationSql(
      space.current,
      { ...(await writer('fleet-0')), port: 5432 },
      'SELECT inet_client_addr() IS NULL',
    );
    expect([viaPooler, direct]).toEqual(['t', 'f']);
  });

  it('to the read-only Service reaches a replica', async () => {
    expect(
      await applicationSql(space.current, await reader('fleet-0-ro'), 'SELECT pg_is_in_recovery()'),
    ).toEqual(['t']);
  });
});

describe('the logins of a generation', () => {
  it('let the writer write and the reader read', async () => {
    const ns = space.current;
    await applicationSql(ns, await writer('fleet-0'), "INSERT INTO users VALUES (1, 'Ada')");
    expect(await applicationSql(ns, await reader('fleet-0'), 'SELECT name FROM users WHERE id = 1')).toEqual([
      'Ada',
    ]);
    await expect(
      applicationSql(ns, await reader('fleet-0'), "INSERT INTO users VALUES (2, 'Bob')"),
    ).rejects.toThrow(/permission denied/);
  });

  it('end at what was granted: no DDL, no reference table, no secrets of the operator', async () => {
    const login = await writer('fleet-0');
    for (const sql of [
      'CREATE TABLE mine (id int)',
      'DROP TABLE users',
      'TRUNCATE users',
      "INSERT INTO countries VALUES ('XX', 'Nowhere')",
      "UPDATE shardwright.own SET role = 'app_g9'",
      'SELECT * FROM pg_authid',
      'ALTER ROLE app_g1 SUPERUSER',
    ]) {
      await expect(applicationSql(space.current, login, sql)).rejects.toThrow(
        /permission denied|must be owner/,
      );
    }
    expect(await applicationSql(space.current, login, 'SELECT count(*) FROM countries')).toEqual(['0']);
  });

  it('do not exist for another generation, and the stable login only when asked for', async () => {
    const ns = space.current;
    const login = await writer('fleet-0');
    await expect(applicationSql(ns, { ...login, user: 'app_g2' }, 'SELECT 1')).rejects.toThrow(
      /authentication failed|no such user/,
    );
    await expect(applicationSql(ns, { ...login, user: 'app' }, 'SELECT 1')).rejects.toThrow(
      /authentication failed|no such user/,
    );
    await ns.patch(ShardClusters, 'fleet', { spec: { access: { stableLogin: true } } });
    await ns.current();
    await applicationSql(ns, { ...login, user: 'app' }, "INSERT INTO users VALUES (3, 'Cy')");
    await ns.patch(ShardClusters, 'fleet', { spec: { access: { stableLogin: false } } });
    await ns.current();
    await eventually('the stable login is refused', ns.name, () =>
      applicationSql(ns, { ...login, user: 'app' }, 'SELECT id FROM users').then(
        () => undefined,
        (error: unknown) =>
          /authentication failed|no such user|permission denied/.test(String(error)) ? true : undefined,
      ),
    );
  });
});

async function writer(host: string): Promise<Login> {
  return { host, user: 'app_g1', password: (await space.current.secret('fleet-app'))['password'] ?? '' };
}

async function reader(host: string): Promise<Login> {
  return { ...(await writer(host)), user: 'app_ro_g1' };
}

async function operatorLogs(): Promise<string> {
  const { cluster, operator } = space.current;
  return cluster.kubectl([
    'logs',
    `--namespace=${operator.namespace}`,
    '--selector=app.kubernetes.io/component=operator',
    '--tail=-1',
  ]);
}
