/**
 * What archiving costs: ending a segment, what commits notice of it, the transfer, what is stored, and the helpers' memory and time.
 * `node engines/postgresql/backup/experiments/archiving.ts IMAGE VERSITYGW`. On a volume of this machine, not in memory.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { Member } from '../testing/member.ts';
import { startObjectStore } from '../testing/object-store.ts';
import { filesFor, protect } from '../testing/shard-life.ts';

const [image = '', program = ''] = process.argv.slice(2);
const say = (what: string, result: unknown) => process.stdout.write(`${JSON.stringify({ what, result })}\n`);
const quantiles = (times: readonly number[]) => {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => Math.round((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) * 10) / 10;
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), max: at(1) };
};

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Milliseconds of each commit, while `until` is pending. */
async function commits(client: Client, until: Promise<unknown>): Promise<readonly number[]> {
  const times: number[] = [];
  const ended = new AbortController();
  void until.finally(() => ended.abort());
  while (!ended.signal.aborted)
    times.push(await timed(() => client.query("INSERT INTO filled VALUES (repeat('x', 200))")));
  return times;
}

for (const walSegmentSizeMB of [1, 4, 16]) {
  await using store = await startObjectStore({ program });
  await using member = await Member.primary({ image, walSegmentSizeMB, onDisk: true });
  // The meter must not switch of its own accord here.
  await protect(member, filesFor(store, { path: 'cost', rpoSeconds: 3600 }));
  const client = await member.connect();
  const admin = await member.connect();
  await client.query('CREATE TABLE filled (filler text)');
  const size = `${walSegmentSizeMB} MB segments`;

  say(`${size}: commits in peace, ms`, quantiles(await commits(client, sleep(5000))));
  const switches: number[] = [];
  const turns = (async () => {
    for (let turn = 0; turn < 10; turn++) {
      await sleep(1000);
      switches.push(await timed(() => admin.query('SELECT pg_switch_wal()')));
    }
  })();
  say(`${size}: commits with a switch each second, ms`, quantiles(await commits(client, turns)));
  say(`${size}: pg_switch_wal, ms`, quantiles(switches));
  await member.until(({ archivedTo }) => archivedTo !== undefined);
  await sleep(3000);

  // Almost empty, and filled with what compresses as text does.
  const transfers = async (fill: string): Promise<readonly number[]> => {
    const found: number[] = [];
    for (let turn = 0; turn < 5; turn++) {
      await admin.query(fill);
      await admin.query('SELECT pg_switch_wal()');
      await sleep(2000);
      const [, begun, ended] = (await member.shell('cat /tmp/archive/pushed')).split(' ').map(Number);
      found.push(((ended ?? 0) - (begun ?? 0)) * 1000);
    }
    return found;
  };
  const sizes = async () => {
    const objects = (await store.objects.list('cost/archive/')).filter(({ key }) => key.endsWith('.zst'));
    return objects.slice(-5).map(({ bytes }) => bytes);
  };
  say(
    `${size}: transfer of one with a single commit, ms`,
    quantiles(await transfers("INSERT INTO filled VALUES ('x')")),
  );
  say(`${size}: stored bytes of such`, quantiles(await sizes()));
  const rows = walSegmentSizeMB * 3500;
  const full = `INSERT INTO filled SELECT md5(i::text) || repeat('x', 100) FROM generate_series(1, ${rows}) AS i`;
  say(`${size}: transfer of full ones, ms`, quantiles(await transfers(full)));
  say(`${size}: stored bytes of such`, quantiles(await sizes()));
  const helpers = await member.shell(`
for process in /proc/[0-9]*; do
  case "$(tr '\\0' ' ' < $process/cmdline 2>/dev/null)" in
    *meter.py*|*"pgbackrest server"*)
      echo "$(tr '\\0' ' ' < $process/cmdline)| $(grep -E '^(Rss|Pss):' $process/smaps_rollup | tr -s ' \\n' ' ')| ticks of CPU $(cut -d' ' -f14,15 $process/stat)" ;;
  esac
done; cut -d' ' -f1 /proc/uptime`);
  say(`${size}: helpers`, helpers.split('\n'));
}
