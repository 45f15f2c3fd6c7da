/** The chart's life: an upgrade leaves fleets alone, and removing the operator leaves CRDs, fleets and data. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { repoDir } from '#hack/paths.ts';
import { run } from '#hack/run.ts';
import { ensureTool } from '#hack/tools.ts';
import { ClusterRoles, CustomResourceDefinitions, Deployments, Pods } from '#kernel/resources.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard, tell } from '#test-e2e/support/fleet-probe.ts';
import { bindingFor } from '#test-e2e/support/lifecycle.ts';
import { superuserSql } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';

const space = useNamespace('chart');
const chart = join(repoDir, 'charts/shardwright');

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet(usual));
  await ns.current();
});

async function helm(...args: string[]): Promise<string> {
  const { cluster, operator } = space.current;
  return run(await ensureTool('helm'), [
    ...args,
    `--namespace=${operator.namespace}`,
    `--kubeconfig=${cluster.kubeconfigPath}`,
  ]);
}

const podsOfFleet = async (): Promise<string[]> =>
  (await space.current.list(Pods, 'shardwright.io/cluster=fleet')).map(
    ({ metadata, status }) =>
      `${metadata.name} ${metadata.uid} ${status?.containerStatuses?.map(container => container.restartCount).join()}`,
  );

it('upgrades with a changed value without touching a pod of a fleet', async () => {
  const ns = space.current;
  const before = await podsOfFleet();
  const probe = await probeShard(ns);
  await helm(
    'upgrade',
    ns.operator.name,
    chart,
    '--reuse-values',
    '--set=logLevel=debug',
    '--wait',
    '--timeout=3m',
  );
  const { spec } = await ns.cluster.kube.get(Deployments, {
    namespace: ns.operator.namespace,
    name: ns.operator.name,
  });
  expect(JSON.stringify(spec?.template)).toContain('debug');
  // The new operator has looked at the fleet, and found nothing to do.
  await ns.kubectl('label', 'shardcluster/fleet', 'e2e-looked-at=yes');
  await ns.current();
  const report = await probe.finish();
  tell('operator upgraded', report);
  expect(report.refused).toBe(0);
  expect(report.missing).toEqual([]);
  expect(await podsOfFleet()).toEqual(before);
});

it('refuses values that its schema does not know', async () => {
  await expect(helm('template', 'x', chart, '--set=replica=3')).rejects.toThrow(/replica/);
  await expect(helm('template', 'x', chart, '--set=replicas=many')).rejects.toThrow(/replicas/);
});

it('leaves CRDs, fleets and their data when it is uninstalled, and takes them over again', async () => {
  const ns = space.current;
  const { cluster, operator } = ns;
  await superuserSql(ns, await ns.primaryOf('fleet-0'), "INSERT INTO users VALUES (1, 'Ada')");
  const before = await podsOfFleet();
  const values = await helm('get', 'values', operator.name, '--output=json');
  const file = join(await mkdtemp(join(tmpdir(), 'values-')), 'values.yaml');
  await writeFile(file, stringify(JSON.parse(values)));
  const probe = await probeShard(ns);
  try {
    await helm('uninstall', operator.name, '--wait');
    const crds = await cluster.kube.list(CustomResourceDefinitions);
    const ours = crds.items.filter(({ metadata }) => metadata.name.endsWith('.shardwright.io'));
    expect(ours.length).toBe(4);
    const roles = await cluster.kube.list(ClusterRoles, {
      labelSelector: 'app.kubernetes.io/name=shardwright',
    });
    expect(roles.items).toEqual([]);
    expect(await podsOfFleet()).toEqual(before);
  } finally {
    await helm(
      'install',
      operator.name,
      chart,
      `--values=${file}`,
      '--set=logLevel=info',
      '--wait',
      '--timeout=3m',
    );
    await cluster.kube.apply(bindingFor(ns.name, operator), { fieldManager: 'e2e' });
  }
  await ns.current();
  const report = await probe.finish();
  tell('operator removed and installed again', report);
  expect(report.refused).toBe(0);
  expect(report.missing).toEqual([]);
  expect(await superuserSql(ns, await ns.primaryOf('fleet-0'), 'SELECT name FROM users')).toEqual(['Ada']);
  expect(await podsOfFleet()).toEqual(before);
});
