/** What only the cluster can tell: the operator says in a condition what is wrong and what to do, and touches nothing. */
import { expect, it } from 'vitest';
import { apiVersion } from '#crds/api/names.ts';
import { StatefulSets } from '#kernel/resources.ts';
import { conditionOf, hasCondition } from './support/conditions.ts';
import { type FleetOptions, fleet, single } from './support/fleet.ts';
import { BackupPolicies, ShardClusters } from './support/resources.ts';
import { useNamespace } from './support/use-namespace.ts';

const space = useNamespace('refused');

const wrong: readonly { name: string; options: FleetOptions; says: RegExp }[] = [
  {
    name: 'no-region',
    options: { placement: { regions: [{ name: 'atlantis', weight: 1 }] } },
    says: /atlantis/,
  },
  { name: 'no-class', options: { storage: { size: '1Gi', storageClassName: 'no-such' } }, says: /no-such/ },
  { name: 'no-schema', options: { schema: { configMaps: [{ name: 'no-such' }] } }, says: /no-such/ },
];

it.each(wrong)(
  '$name: is Stalled, names the cause, and makes no database',
  async ({ name, options, says }) => {
    const ns = space.current;
    await ns.apply(fleet({ ...single, ...options, name }));
    const found = await ns.until(ShardClusters, name, hasCondition('Stalled', 'True'));
    expect(conditionOf(found, 'Stalled')?.message).toMatch(says);
    expect(conditionOf(found, 'Ready')?.status).toBe('False');
    expect(await ns.list(StatefulSets)).toEqual([]);
  },
);

it('works on as soon as the cause is gone', async () => {
  const ns = space.current;
  await ns.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'no-such' },
    data: { '1.sql': 'CREATE TABLE users (id bigint PRIMARY KEY)' },
  });
  expect(conditionOf(await ns.current('no-schema'), 'Stalled')?.status).toBe('False');
});

it('leaves a running fleet alone when a change of it cannot be done', async () => {
  const ns = space.current;
  const before = await ns.get(StatefulSets, 'no-schema-0');
  await ns.patch(ShardClusters, 'no-schema', { spec: { placement: { regions: [{ name: 'atlantis' }] } } });
  await ns.until(ShardClusters, 'no-schema', hasCondition('Stalled', 'True'));
  const after = await ns.get(StatefulSets, 'no-schema-0');
  expect(after.metadata.generation).toBe(before.metadata.generation);
  expect(after.status?.readyReplicas).toBe(1);
});

it('says which Secret a BackupPolicy wants', async () => {
  const ns = space.current;
  await ns.apply({
    apiVersion,
    kind: 'BackupPolicy',
    metadata: { name: 'nightly' },
    spec: {
      clusters: { names: ['no-schema'] },
      objectives: { rpo: '10s', rto: '5m' },
      schedule: { full: '0 2 * * 0' },
      destinations: [
        { s3: { endpoint: 'https://s3.example', bucket: 'backups', credentials: { secretName: 's3' } } },
      ],
    },
  });
  const policy = await ns.until(BackupPolicies, 'nightly', hasCondition('Stalled', 'True'));
  expect(conditionOf(policy, 'Stalled')?.message).toMatch(/Secret s3 is missing/);
});
