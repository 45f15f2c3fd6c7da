/**
 * What storing small files in bundles, and large ones by blocks, is worth: seconds and objects of a full backup, of an incremental one
 * after a hundredth of the rows has changed, and of fetching both back.
 *
 *     node engines/postgresql/backup/experiments/bundles.ts [rows]
 */
import { performance } from 'node:perf_hooks';
import type { Member } from '../testing/member.ts';
import { BackupScene } from '../testing/scene.ts';

const rows = Number(process.argv[2] ?? 300_000);
const ways = {
  'file by file': '--no-repo1-bundle',
  bundles: '--repo1-bundle --no-repo1-block',
  'bundles and blocks': '--repo1-bundle --repo1-block',
} as const;

await using scene = await BackupScene.start();
const primary = await scene.primary();
const client = await primary.connect();
await client.query(
  `CREATE TABLE item AS SELECT i, repeat(md5(i::text), 10) AS text FROM generate_series(1, ${rows}) AS i`,
);
await client.query('VACUUM FREEZE item');
for (const [way, options] of Object.entries(ways)) {
  const full = await timed(primary, `${options} --no-expire-auto --type=full backup`);
  await client.query(`UPDATE item SET text = md5(text) WHERE i <= ${rows / 100}`);
  const incremental = await timed(primary, `${options} --no-expire-auto --type=incr backup`);
  const fetch = await timed(primary, '--pg1-path=/tmp/fetched --archive-mode=off restore');
  await primary.shell('rm -rf /tmp/fetched');
  process.stdout.write(`${JSON.stringify({ way, rows, full, incremental, fetchSeconds: fetch.seconds })}\n`);
}

async function timed(
  member: Member,
  command: string,
): Promise<{ seconds: number; objects: number; bytes: number }> {
  const before = await stored();
  const began = performance.now();
  await member.shell(
    `mkdir -p -m 700 /tmp/fetched && pgbackrest --stanza=social-0 --process-max=2 ${command}`,
  );
  const seconds = Number(((performance.now() - began) / 1000).toFixed(2));
  const after = await stored();
  return { seconds, objects: after.objects - before.objects, bytes: after.bytes - before.bytes };
}

async function stored(): Promise<{ objects: number; bytes: number }> {
  const objects = await scene.store.objects.list(`${scene.repository.path}/backup/`);
  return { objects: objects.length, bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0) };
}
