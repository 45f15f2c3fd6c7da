/** The program itself, killed for real, and told to end: what it leaves, the next one takes up. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type ArchiveOutcome, parseOutcome } from './outcome.ts';
import { readRowGroups } from './parquet/read-file.ts';
import { columnsOf } from './run/verify-part.ts';
import { type ArchiveSettings, secretFiles, settingsVariable } from './settings.ts';
import { readManifest } from './store/manifest.ts';
import { path, World } from './testing/world.ts';

const days = 30;
const table = 'public.messages';
const within = `${path}/rows/${table}/social-0/`;

let world: World;
let folder: string;
let settings: ArchiveSettings;

beforeAll(async () => {
  world = await World.start(
    `CREATE TABLE messages (id bigint PRIMARY KEY, created_at timestamptz, body text); CREATE INDEX ON messages (created_at);`,
  );
  const real = await world.useRealStore();
  folder = await mkdtemp(join(tmpdir(), 'archive-'));
  const secrets = {
    databasePassword: world.target.superuserPassword,
    databaseCa: world.target.ca,
    accessKeyId: real.credentials.accessKeyId,
    secretAccessKey: real.credentials.secretAccessKey,
    storeCa: real.ca,
  };
  for (const name of [
    'databasePassword',
    'databaseCa',
    'accessKeyId',
    'secretAccessKey',
    'storeCa',
  ] as const) {
    const file = join(folder, secretFiles[name]);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `${secrets[name]}\n`);
  }
  settings = {
    shard: 'social-0',
    database: {
      host: '127.0.0.1',
      port: world.target.port,
      serverName: 'social-0.fleet.svc',
      name: 'social',
    },
    store: { endpoint: real.endpoint, bucket: real.bucket, region: real.region, path },
    tables: [{ name: 'messages', column: 'created_at', olderThanSeconds: 86_400 }],
    deleteAfter: true,
    secretsFolder: folder,
  };
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  for (const key of await world.store.list(path)) await world.store.delete(key);
  await world.admin.query(`TRUNCATE messages`);
  await world.admin.query(`INSERT INTO messages SELECT n, '2020-01-01'::timestamptz + n % ${days} * interval '1 day', 'text'
    FROM generate_series(1, ${days * 100}) n`);
});

function begin(): ChildProcess {
  return spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    env: {
      ...process.env,
      [settingsVariable]: JSON.stringify(settings),
      TERMINATION_MESSAGE: join(folder, 'message'),
    },
    stdio: 'ignore',
  });
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise(resolve => child.once('exit', code => resolve(code)));
}

async function message(): Promise<ArchiveOutcome | undefined> {
  return parseOutcome(await readFile(join(folder, 'message'), 'utf8').catch(() => undefined));
}

async function someFiles(child: ChildProcess): Promise<void> {
  while (child.exitCode === null && (await world.store.list(within, 'folders')).length < 3) await sleep(5);
}

async function archivedIds(): Promise<readonly number[]> {
  const ids: number[] = [];
  for (const key of await world.store.list(within, 'folders')) {
    const date = key.slice(within.length, -1);
    const manifest = await readManifest(world.store, { path, table, shard: 'social-0' }, date);
    for (const part of manifest?.parts ?? []) {
      const bytes = await world.store.get(`${key}${part.file}`);
      for await (const group of readRowGroups(bytes!, columnsOf(part)))
        ids.push(...(group.columns[0] ?? []).map(Number));
    }
  }
  return ids.toSorted((a, b) => a - b);
}

const all = Array.from({ length: days * 100 }, (_, index) => index + 1);

test.each([
  ['SIGKILL', null, undefined],
  ['SIGTERM', 1, 'Failed'],
] as const)(
  '%s in the middle: no row is lost, and none is there twice after the next run',
  async (signal, code, state) => {
    await rm(join(folder, 'message'), { force: true });
    const first = begin();
    const end = ended(first);
    await someFiles(first);
    first.kill(signal);
    expect(await end).toBe(code);
    expect((await message())?.state).toBe(state);
    const left = await world.rows('SELECT FROM messages');
    expect(left.length).toBeGreaterThan(0);
    expect(await ended(begin())).toBe(0);
    expect(await message()).toMatchObject({ state: 'Succeeded', tables: [{ table: 'messages' }] });
    expect(await world.rows('SELECT id FROM messages')).toEqual([]);
    expect(await archivedIds()).toEqual(all);
  },
);
