import type { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AccessInput } from '#engines/engine.ts';
import { scramVerifier } from '#engines/scram.ts';
import { ensureAccess } from '../access.ts';
import type { Member } from '../backup/testing/member.ts';
import { RecoveryScene } from './testing/recovery-scene.ts';

let scene: RecoveryScene;
let primary: Member;
let client: Client;
/** Between the commits of rows 1 and 2, and after the last commit. */
let between = '';
let after = '';

const partition = { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 255 }] } as const;

function access(generation: number): AccessInput {
  const verifier = scramVerifier('secret', Buffer.alloc(16));
  return {
    generation,
    readerGeneration: 1,
    state: 'active',
    partition,
    tables: [{ name: 'item', reference: false }],
    verifier,
    referenceVerifier: verifier,
    stableLogin: false,
  };
}

async function now(): Promise<string> {
  await client.query('SELECT pg_sleep(0.05)');
  const { rows } = await client.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  await client.query('SELECT pg_sleep(0.05)');
  return rows[0]!.now.toISOString();
}

beforeAll(async () => {
  scene = await RecoveryScene.start();
  primary = await scene.backups.primary();
  client = await primary.connect();
  await client.query('CREATE ROLE standby LOGIN REPLICATION; CREATE TABLE item (id bigint PRIMARY KEY)');
  await ensureAccess(client, access(3), true);
  await scene.backups.backup({ primary: primary.name });
  await client.query('INSERT INTO item VALUES (1)');
  // As a migration would leave it: it dials, in vain, for as long as the server runs.
  await client.query(`CREATE SUBSCRIPTION sw_x_f CONNECTION 'host=${primary.address} port=1 dbname=x'
    PUBLICATION sw_x_f WITH (connect = false, slot_name = sw_x_f)`);
  await client.query('ALTER SUBSCRIPTION sw_x_f ENABLE');
  await client.query(
    `INSERT INTO shardwright.transfer (id, migration, side, peer, moves) VALUES ('x', 'split', 'target', '1', $1)`,
    [JSON.stringify({ partition, whole: false, targetEmpty: true })],
  );
  await client.query(`INSERT INTO shardwright.marker (transfer) VALUES ('x')`);
  await client.query(`ALTER SYSTEM SET synchronized_standby_slots = 'not_there'`);
  await scene.archived(primary);
  between = await now();
  await client.query('INSERT INTO item VALUES (2)');
  await scene.archived(primary);
  after = await now();
}, 240_000);
afterAll(() => scene[Symbol.asyncDispose]());

test('the newest: all rows, no subscription, nobody let in, and archiving as the fleet wants it', async () => {
  const { report, volume } = await scene.recover();
  expect(report).toMatchObject({
    state: 'Succeeded',
    steps: [{ name: 'Fetch' }, { name: 'Recover' }, { name: 'Prepare' }],
    result: {
      systemIdentifier: (await client.query('SELECT system_identifier::text AS id FROM pg_control_system()'))
        .rows[0].id,
      found: {
        partition,
        generation: 3,
        readerGeneration: 1,
        transfers: [
          { id: 'x', migration: 'split', side: 'target', partition, markers: [expect.any(String)] },
        ],
      },
    },
  });
  await volume.start();
  expect(await volume.query('SELECT id FROM item ORDER BY 1')).toEqual(['1', '2']);
  expect(await volume.query('SELECT subname FROM pg_subscription')).toEqual([]);
  expect(await volume.query('SELECT id FROM shardwright.restored_transfer')).toEqual(['x']);
  expect(await volume.query(`SELECT rolname FROM pg_roles WHERE rolname ~ '^app_' AND rolcanlogin`)).toEqual(
    [],
  );
  expect(await volume.query(`SELECT rolname FROM pg_roles WHERE rolname ~ '^app_' ORDER BY 1`)).toEqual([
    'app_g3',
    'app_ref',
    'app_ro_g1',
  ]);
  expect(await volume.query('SHOW archive_mode')).toEqual(['on']);
  expect(await volume.query('SHOW synchronized_standby_slots')).toEqual([]);
  expect(await volume.query('SHOW restore_command')).toEqual([]);
});

test('a time between two commits', async () => {
  const { report, volume } = await scene.recover(between);
  expect(report).toMatchObject({ state: 'Succeeded' });
  expect(Date.parse(report.result!.lastCommit!)).toBeLessThanOrEqual(Date.parse(between));
  await volume.start();
  expect(await volume.query('SELECT id FROM item ORDER BY 1')).toEqual(['1']);
});

test('a time after the last commit: an idle shard has all that there was', async () => {
  const { report, volume } = await scene.recover(after);
  expect(report).toMatchObject({ state: 'Succeeded' });
  await volume.start();
  expect(await volume.query('SELECT id FROM item ORDER BY 1')).toEqual(['1', '2']);
});

test('a volume with a database is left as it is; done again, it tells the same again', async () => {
  const { volume } = await scene.recover();
  const before = await volume.shell('stat -c %Y /var/lib/postgresql/data/PG_VERSION');
  expect(
    await volume.shell('rm /tmp/report.json; member recover >/tmp/log 2>&1; cat /tmp/report.json'),
  ).toContain('"state":"Succeeded"');
  await volume.shell('echo {} > /var/lib/postgresql/recovered.json');
  expect(await volume.shell('member recover >/tmp/log 2>&1; cat /tmp/report.json')).toContain(
    'the volume holds a database already',
  );
  expect(await volume.shell('stat -c %Y /var/lib/postgresql/data/PG_VERSION')).toBe(before);
});

test('a database that may be replaced stays whole until the other is, and is kept aside or goes', async () => {
  const { volume } = await scene.recover();
  const folder = '/var/lib/postgresql';
  const again = (changes: string) =>
    volume.shell(
      `rm -f /tmp/report.json; export TASK="$(python3 -c "import json, os; print(json.dumps({**json.loads(os.environ['TASK']), ${changes}}))")"; ` +
        `member recover >/tmp/log 2>&1; cat /tmp/report.json`,
    );
  await volume.shell(`touch ${folder}/data/first`);
  // What cannot be done leaves it alone.
  expect(await again(`'fleet': '2', 'replaced': 'keep', 'stanza': 'other'`)).toContain('"state":"Failed"');
  expect(await volume.shell(`ls ${folder}; ls ${folder}/data/first`)).toContain(`${folder}/data/first`);
  expect(await again(`'fleet': '2', 'replaced': 'keep'`)).toContain('"state":"Succeeded"');
  expect(await volume.shell(`ls ${folder}/replaced-1/first; ls ${folder}/data`)).toMatch(
    /^\S+replaced-1\/first\n(?!.*\bfirst\b)/s,
  );
  // Done once, it is not done again.
  await volume.shell(`touch ${folder}/data/second`);
  expect(await again(`'fleet': '2', 'replaced': 'keep'`)).toContain('"state":"Succeeded"');
  expect(await volume.shell(`ls ${folder}/data/second`)).toContain('second');
  expect(await again(`'fleet': '3', 'replaced': 'keep'`)).toContain('"state":"Succeeded"');
  expect(await volume.shell(`ls ${folder}/replaced-1/first ${folder}/replaced-2/second | wc -l`)).toBe('2');
  expect(await again(`'fleet': '4', 'replaced': 'discard'`)).toContain('"state":"Succeeded"');
  expect(await volume.shell(`ls -d ${folder}/data ${folder}/replaced-* 2>/dev/null || true`)).toBe(
    `${folder}/data`,
  );
  await volume.start();
  expect(await volume.query('SELECT id FROM item ORDER BY 1')).toEqual(['1', '2']);
});

test('what cannot be: a time before the first backup, another passphrase; nothing is left that looks like a database', async () => {
  const early = await scene.recover('2020-01-01T00:00:00Z');
  expect(early.report).toMatchObject({
    state: 'Failed',
    failure: expect.stringMatching(/^2020-01-01T00:00:00\.000Z is too early: the first backup ended at 20/),
  });
  expect(await early.volume.shell('ls /var/lib/postgresql')).toBe('');
  const locked = await scene.recover(undefined, 'not it');
  expect(locked.report).toMatchObject({
    state: 'Failed',
    failure: expect.stringMatching(/cannot be read|decrypt/),
  });
});

test('the catalog tells what there is, and from when to when', async () => {
  const report = await scene.catalog('prod/fleet/social');
  expect(report).toMatchObject({
    state: 'Succeeded',
    incarnations: [
      {
        id: '0123abcd',
        shards: [
          {
            ordinal: 0,
            stanza: 'social-0',
            version: '17',
            about: { ordinal: 0, algorithm: 'hash', keyType: 'bigint', slots: 256 },
          },
        ],
      },
    ],
  });
  const [stored] = report.incarnations![0]!.shards;
  expect(Date.parse(stored!.since)).toBeLessThan(Date.parse(between));
  expect(Date.parse(stored!.until)).toBeGreaterThan(Date.parse(between) - 1000);
  expect(await scene.catalog('prod/fleet/nothing')).toMatchObject({ state: 'Succeeded', incarnations: [] });
});

test('a segment that is missing in between is no end', async () => {
  await client.query('INSERT INTO item VALUES (3)');
  await scene.archived(primary);
  const time = await now();
  // A primary that runs would notice what is missing, and hand it in again.
  await client.end();
  await primary.stop();
  const list = () => scene.backups.store.objects.list(`${scene.backups.repository.path}/archive/`);
  const segments = (await list()).filter(({ key }) => /\/[0-9A-F]{24}-/.test(key));
  await scene.backups.store.objects.delete(segments.at(-2)!.key);
  const newest = await scene.recover();
  expect(newest.report).toMatchObject({
    state: 'Failed',
    failure: expect.stringMatching(/but the archive goes on to segment/),
  });
  const timed = await scene.recover(time);
  expect(timed.report).toMatchObject({
    state: 'Failed',
    failure: expect.stringMatching(/goes on to segment/),
  });
});
