/** Passwords and certificates change under running applications, and nobody is locked out. */
import { beforeAll, expect, it } from 'vitest';
import { annotations } from '#crds/api/names.ts';
import { Secrets } from '#kernel/resources.ts';
import { connectClient } from '#test-e2e/support/client.ts';
import { fleet, usual, usualSchema } from '#test-e2e/support/fleet.ts';
import { probeShard, tell } from '#test-e2e/support/fleet-probe.ts';
import { ShardClusters } from '#test-e2e/support/resources.ts';
import { applicationSql, startClientPod } from '#test-e2e/support/sql.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { eventually } from '#test-e2e/support/wait.ts';

const space = useNamespace('rotation');
const deadlineMs = 420_000;

beforeAll(async () => {
  const ns = space.current;
  await ns.apply(usualSchema);
  await ns.apply(fleet(usual));
  await Promise.all([ns.current(), startClientPod(ns)]);
});

const annotate = (values: Record<string, string>): Promise<unknown> =>
  space.current.patch(ShardClusters, 'fleet', { metadata: { annotations: values } });

it('replaces the passwords while clients keep working; the old one ends', async () => {
  const ns = space.current;
  const before = await ns.secret('fleet-app');
  await using client = await connectClient(ns);
  await client.ready();
  // Keeps its two connections for the whole rotation, as pools do.
  const probe = await probeShard(ns, { mode: 'pooled', port: 6432 });
  await annotate({ [annotations.rotate]: 'once' });
  let [queries, id] = [0, 0];
  const after = await eventually(
    'the new password is the password',
    ns.name,
    async () => {
      const { rows } = await client.forKey(++id).query('SELECT 1 AS one');
      if (rows.length === 1) queries++;
      const secret = await ns.secret('fleet-app');
      return secret['password'] !== before['password'] && !secret['next-password'] ? secret : undefined;
    },
    { deadlineMs, everyMs: 2000 },
  );
  await ns.current();
  const report = await probe.finish();
  tell('password rotation', report);
  expect(report.refused).toBe(0);
  expect(report.missing).toEqual([]);
  expect(queries).toBe(id);

  const login = { host: 'fleet-0', user: 'app_g1' };
  for (const port of [5432, 6432] as const) {
    expect(
      await applicationSql(ns, { ...login, port, password: after['password'] ?? '' }, 'SELECT 1'),
    ).toEqual(['1']);
    await expect(
      applicationSql(ns, { ...login, port, password: before['password'] ?? '' }, 'SELECT 1'),
    ).rejects.toThrow(/authentication failed/);
  }
});

it('replaces the certificate authority: both are trusted before the new one signs', async () => {
  const ns = space.current;
  const old = (await ns.secret('fleet-ca'))['ca.crt'] ?? '';
  await annotate({ [annotations.rotateAuthority]: 'once' });
  const both = await eventually('applications are given both authorities', ns.name, async () => {
    const bundle = (await ns.secret('fleet-app'))['ca.crt'] ?? '';
    return certificates(bundle).length === 2 ? bundle : undefined;
  });
  expect(both).toContain(certificates(old)[0]);
  const next = certificates(both)[1] ?? '';
  const probe = await probeShard(ns);

  // What the operator does by itself a day later; every step is read from the Secret alone.
  const secret = await ns.secret('fleet-ca');
  await ns.patch(Secrets, 'fleet-ca', {
    stringData: { 'ca.crt': certificates(both).toReversed().join(''), 'ca.key': secret['next.key'] },
    data: { 'next.key': null },
  });
  await annotate({ 'e2e/look-again': 'now' });
  const { password = '' } = await ns.secret('fleet-app');
  const login = { host: 'fleet-0', user: 'app_g1', password, sslmode: 'verify-full', ca: next } as const;
  for (const port of [5432, 6432] as const) {
    await eventually(
      `port ${port} shows a certificate of the new authority`,
      ns.name,
      async () =>
        (await applicationSql(ns, { ...login, port }, 'SELECT 1')).join() === '1' ? true : undefined,
      { deadlineMs, everyMs: 5000 },
    );
  }
  await ns.current();
  const report = await probe.finish();
  tell('certificate rotation', report);
  expect(report.refused).toBe(0);
  expect(report.missing).toEqual([]);
});

function certificates(bundle: string): string[] {
  return (
    bundle
      .match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g)
      ?.map(pem => `${pem.trim()}\n`) ?? []
  );
}
