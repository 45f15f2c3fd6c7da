/** Slots move between two shards of two members each while an application writes and reads, and come back. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Client } from '#client/index.ts';
import { annotations } from '#crds/api/names.ts';
import { startLoad } from '#test-e2e/load/deploy.ts';
import { connectClient } from '#test-e2e/support/client.ts';
import { nothingLeft, type Traces } from '#test-e2e/support/migration-leaks.ts';
import {
  annotate,
  endedAs,
  eventsOf,
  migration,
  patchMigration,
  reached,
  tellMigration,
} from '#test-e2e/support/migrations.ts';
import { useNamespace } from '#test-e2e/support/use-namespace.ts';
import { cleanAfter, nothingWentWrong, setUp } from './scene.ts';

const space = useNamespace('slots');
const quarter = [{ first: 0, last: 4095 }];
let before: Traces;
let client: Client;

beforeAll(async () => {
  before = await setUp(space.current, { shards: 2 });
  client = await connectClient(space.current);
  await client.ready();
});

afterAll(() => client?.close());

/** Slots that each shard owns by the map. */
async function owned(): Promise<Record<string, number>> {
  const shards = await space.current.shards();
  return Object.fromEntries(
    shards.map(({ metadata, spec }) => [metadata.name, spec.sharding.slotCount ?? 0]),
  );
}

it('moves them under load, and the application does not notice', async () => {
  const ns = space.current;
  const load = await startLoad(ns, { replicas: true, ballastPerOwner: 100 });
  await ns.apply(migration('there', { slots: { from: 'fleet-0', to: 'fleet-1', ranges: quarter } }));
  const ended = await endedAs(ns, 'there', 'Completed');
  tellMigration('slots there', ended);
  const finished = await nothingWentWrong('slots there', load);
  await cleanAfter(ns, before, finished);
  expect(await owned()).toEqual({ 'fleet-0': 4096, 'fleet-1': 12_288 });
  await ns.current();
});

it('tells the whole story in its status and in events', async () => {
  const ns = space.current;
  const { status } = await endedAs(ns, 'there', 'Completed');
  expect(status?.phases?.map(({ name }) => name)).toEqual([
    'SetupReplication',
    'BulkCopy',
    'SyncChanges',
    'SwitchReads',
    'SwitchWrites',
    'VerifyAndCleanup',
  ]);
  expect(status?.phases?.every(({ endTime }) => endTime !== undefined)).toBe(true);
  expect(status?.plan?.length).toBeGreaterThan(0);
  expect(status?.transfers).toMatchObject([{ source: 'fleet-0', target: 'fleet-1', targetEmpty: false }]);
  expect(status?.cutover).toMatchObject({
    time: expect.any(String),
    writeStallMs: expect.any(Number),
    epoch: expect.any(Number),
  });
  expect(status?.verification).toMatchObject({ stream: 'back', matches: true, differences: [] });
  expect(status?.verification?.rows).toBeGreaterThan(1000);
  const events = (await eventsOf(ns, 'there')).join('\n');
  for (const phase of ['BulkCopy', 'SwitchReads', 'SwitchWrites', 'Completed'])
    expect(events).toContain(phase);
  const line = await ns.kubectl('get', 'shardmigration', 'there', '--no-headers');
  expect(line).toContain('Completed');
});

it('rolls back under load within the rollback window', async () => {
  const ns = space.current;
  const load = await startLoad(ns, { replicas: true, ballastPerOwner: 100, seed: 2 });
  const operation = { slots: { from: 'fleet-1', to: 'fleet-0', ranges: quarter } };
  await ns.apply(migration('back', { ...operation, rollbackWindow: '1h' }));
  const kept = await reached(ns, 'back', 'VerifyAndCleanup');
  expect(kept.status?.cutover?.time).toBeDefined();
  await expect
    .poll(() => client.map && owned(), { timeout: 60_000 })
    .toEqual({ 'fleet-0': 8192, 'fleet-1': 8192 });
  // What the new owner takes now has to be there after the way back, too.
  await new Promise(resolve => setTimeout(resolve, 3000));
  await patchMigration(ns, 'back', { abort: true });
  tellMigration('slots rolled back', await endedAs(ns, 'back', 'RolledBack'));
  const finished = await nothingWentWrong('slots rolled back', load);
  await cleanAfter(ns, before, finished);
  expect(await owned()).toEqual({ 'fleet-0': 4096, 'fleet-1': 12_288 });
});

it('ends the rollback window when it is told to', async () => {
  const ns = space.current;
  const operation = { slots: { from: 'fleet-1', to: 'fleet-0', ranges: quarter } };
  await ns.apply(migration('finish', { ...operation, rollbackWindow: '1h' }));
  const kept = await reached(ns, 'finish', 'VerifyAndCleanup');
  expect(kept.status?.rollbackUntil).toBeDefined();
  await annotate(ns, 'finish', annotations.finish);
  await endedAs(ns, 'finish', 'Completed');
  await nothingLeft(ns, before);
});
