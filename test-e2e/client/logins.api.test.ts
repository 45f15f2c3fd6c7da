/** Logins come and go: sessions under one that is announced are there before the map and used only after it; one that is dropped under its sessions is a stale one. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Client } from '#client/client.ts';
import { bumpGeneration } from '#sharding/change.ts';
import { type ComingWriters, nothingComing } from '#sharding/coming.ts';
import { createRouter } from '#sharding/router.ts';
import { PostgresFleet, password } from './postgres-fleet.ts';

let fleet: PostgresFleet;
const clients: Client[] = [];

beforeAll(async () => {
  fleet = await PostgresFleet.start(1);
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  announce(nothingComing);
});
afterAll(() => fleet?.[Symbol.asyncDispose]());

function announce(writers: ComingWriters): void {
  fleet.store.announce(fleet.map.namespace, fleet.map.cluster, writers);
}

/** A client with three sessions on the shard, and how many each login has had. */
async function busyClient(pooled = false) {
  const open = new Map<string, number>();
  const opened = new Map<string, number>();
  const client = fleet[pooled ? 'pooledClient' : 'client']({
    hooks: {
      onPool: event => {
        if (event.open > (open.get(event.login) ?? 0)) {
          opened.set(event.login, (opened.get(event.login) ?? 0) + 1);
        }
        open.set(event.login, event.open);
      },
    },
  });
  clients.push(client);
  await client.ready();
  const whoAmI = async () => {
    const { rows } = await client
      .forKey(1)
      .query<{ who: string }>('SELECT current_user AS who, pg_sleep(0.2)');
    return rows[0]?.who;
  };
  await Promise.all([whoAmI(), whoAmI(), whoAmI()]);
  return { open, opened, whoAmI };
}

const current = () => fleet.map.shards[0]?.generation ?? 0;
const login = (generation: number) => `app_g${generation}`;

async function openLogin(generation: number): Promise<void> {
  await fleet.sql(
    'social-0',
    `CREATE ROLE ${login(generation)} LOGIN PASSWORD '${password}'; GRANT ALL ON items TO ${login(generation)}`,
  );
}

async function dropLogin(generation: number): Promise<void> {
  await fleet.sql('social-0', `DROP OWNED BY ${login(generation)}; DROP ROLE ${login(generation)}`);
}

describe('a change of writers that is announced', () => {
  it('is prepared for, and costs nobody a session when it comes', async () => {
    const { open, opened, whoAmI } = await busyClient();
    const [old, next] = [login(current()), login(current() + 1)];
    await openLogin(current() + 1);
    announce({ 'social-0': current() + 1 });
    await expect.poll(() => open.get(next), { timeout: 20_000 }).toBe(3);
    expect(await whoAmI()).toBe(old);
    fleet.publish(bumpGeneration(fleet.map, 'social-0', 'write'));
    await expect.poll(whoAmI, { timeout: 20_000 }).toBe(next);
    expect(await Promise.all([whoAmI(), whoAmI(), whoAmI()])).toEqual([next, next, next]);
    expect(opened.get(next)).toBe(3);
    expect(createRouter(fleet.map).route(1).generation).toBe(current());
  });

  it('leaves no session when it is taken back, and nobody notices', async () => {
    const { open, whoAmI } = await busyClient();
    const [now, next] = [login(current()), login(current() + 1)];
    await openLogin(current() + 1);
    announce({ 'social-0': current() + 1 });
    await expect.poll(() => open.get(next), { timeout: 20_000 }).toBe(3);
    announce(nothingComing);
    await expect.poll(() => open.get(next), { timeout: 20_000 }).toBe(0);
    expect(await whoAmI()).toBe(now);
    await dropLogin(current() + 1);
  });

  it('disturbs no call while nobody can use the login yet', async () => {
    const { open, whoAmI } = await busyClient();
    const [now, next] = [login(current()), login(current() + 1)];
    announce({ 'social-0': current() + 1 });
    for (let n = 0; n < 5; n++) expect(await whoAmI()).toBe(now);
    expect(open.get(next) ?? 0).toBe(0);
    await openLogin(current() + 1);
    fleet.publish(bumpGeneration(fleet.map, 'social-0', 'write'));
    await expect.poll(whoAmI, { timeout: 20_000 }).toBe(next);
  });
});

describe('a login that is dropped under its sessions', () => {
  it('is told by the server in one way only', async () => {
    const { whoAmI } = await busyClient();
    await openLogin(current() + 1);
    const session = await fleet.superuser('social-0');
    await session.query(`SET SESSION AUTHORIZATION ${login(current())}`);
    await dropLogin(current());
    await expect(session.query('SELECT current_user')).rejects.toMatchObject({
      code: '42704',
      routine: 'GetUserNameFromId',
    });
    await session.end();
    fleet.publish(bumpGeneration(fleet.map, 'social-0', 'write'));
    await expect.poll(whoAmI, { timeout: 20_000 }).toBe(login(current()));
  });

  it('is a stale one: the call waits for the map and is repeated', async () => {
    const { whoAmI } = await busyClient();
    await openLogin(current() + 1);
    await dropLogin(current());
    const answers = Promise.all([whoAmI(), whoAmI(), whoAmI()]);
    await new Promise(resolve => setTimeout(resolve, 100));
    fleet.publish(bumpGeneration(fleet.map, 'social-0', 'write'));
    expect(await answers).toEqual(Array(3).fill(login(current())));
  });
});

describe('a pooler', () => {
  it('has sessions of its own with the server when an announced change comes, not only then', async () => {
    await fleet.startPoolers();
    const { open, whoAmI } = await busyClient(true);
    const next = login(current() + 1);
    await openLogin(current() + 1);
    announce({ 'social-0': current() + 1 });
    await expect.poll(() => open.get(next), { timeout: 20_000 }).toBe(3);
    const servers = await fleet.sql(
      'social-0',
      `SELECT state FROM pg_stat_activity WHERE usename = '${next}' ORDER BY state`,
    );
    expect(servers.map(({ state }) => state)).toEqual(['idle', 'idle', 'idle']);
    fleet.publish(bumpGeneration(fleet.map, 'social-0', 'write'));
    await expect.poll(whoAmI, { timeout: 20_000 }).toBe(next);
  });
});
