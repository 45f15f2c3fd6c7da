/**
 * What the meter declares against what is really lost: a shard under steady writes is destroyed with its volume at a random moment
 * and brought back from the store alone. `node engines/postgresql/backup/experiments/true-loss.ts IMAGE VERSITYGW [TIMES] [RPO]`.
 * It proves the bound when `truth` is never more than `declared`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Member } from '../testing/member.ts';
import { startObjectStore } from '../testing/object-store.ts';
import { filesFor, protect, startWriter } from '../testing/shard-life.ts';

const [image = '', program = '', times = '5', rpo = '10'] = process.argv.slice(2);
const rpoSeconds = Number(rpo);
await using store = await startObjectStore({ program });

for (let turn = 1; turn <= Number(times); turn++) {
  const files = filesFor(store, { path: `turn-${turn}`, rpoSeconds });
  const member = await Member.primary({ image, walSegmentSizeMB: 16, onDisk: true });
  await using _ = member;
  await protect(member, files);
  const writer = await startWriter(await member.connect(), 10);
  await sleep((2 + Math.random()) * rpoSeconds * 1000);
  const report = await member.report();
  const lostAt = Date.now();
  await member.destroy();
  const acknowledged = await writer.stop();
  await using back = await Member.restored({ image, walSegmentSizeMB: 16 }, files);
  const client = await back.connect();
  const { rows } = await client.query<{ id: string }>('SELECT id FROM written');
  const there = new Set(rows.map(({ id }) => Number(id)));
  const lost = acknowledged.filter(({ id }) => !there.has(id));
  const oldest = lost[0]?.at ?? lostAt;
  const reported = report === undefined ? 0 : Date.parse(report.at);
  process.stdout.write(
    `${JSON.stringify({
      // At the moment of the loss: what the last report said, and the time since.
      declaredSeconds: Math.round((report?.rpoSeconds ?? 0) * 1000 + (lostAt - reported)) / 1000,
      trueLossSeconds: (lostAt - oldest) / 1000,
      // Of the report itself: commits older than it said, that are lost all the same.
      lostBeyondDeclared: lost.filter(({ at }) => at < reported - (report?.rpoSeconds ?? 0) * 1000).length,
      acknowledged: acknowledged.length,
      lost: lost.length,
    })}\n`,
  );
}
