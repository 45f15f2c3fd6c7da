/**
 * The probe, run as a pod: begins an insert every so often whatever became of those before, and prints what happened to each.
 * On SIGTERM, or after its time, it stops inserting, reads back which rows the table holds, and ends.
 *
 * PROBE_CONFIG is the configuration as JSON; PROBE_PASSWORD and PROBE_CA come from the fleet's Secret.
 */
import { createInserter, type Inserter } from './inserter.ts';
import { type ProbeConfig, type ProbeRecord, probeConfig, toRanges } from './records.ts';

/** More than a second's worth of attempts at the shortest time-out: none is ever left out for want of room. */
const maxInFlight = 40;
const readBackMs = 60_000;

function print(record: ProbeRecord): void {
  process.stdout.write(`${JSON.stringify(record)}\n`);
}

async function attempt(inserter: Inserter, id: number): Promise<void> {
  const startedMs = Date.now();
  try {
    const inserted = await inserter.insert(id);
    print({ type: 'ack', id, startedMs, endedMs: Date.now(), ...inserted });
  } catch (error) {
    print({ type: 'fail', id, startedMs, endedMs: Date.now(), message: String(error) });
  }
}

/** Repeats what the database may be too busy, or not there, to do. */
async function persist<T>(work: () => Promise<T>, untilMs: number): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > untilMs) throw error;
      await new Promise(resolve => setTimeout(resolve, 250));
    }
  }
}

async function insertUntil(inserter: Inserter, config: ProbeConfig, signal: AbortSignal): Promise<void> {
  const inFlight = new Set<Promise<void>>();
  let id = 0;
  await new Promise<void>(resolve => {
    const timer = setInterval(() => {
      if (inFlight.size >= maxInFlight) return;
      const work = attempt(inserter, ++id).finally(() => inFlight.delete(work));
      inFlight.add(work);
    }, config.intervalMs);
    const stop = (): void => {
      clearInterval(timer);
      resolve();
    };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
  });
  await Promise.all(inFlight);
}

async function main(): Promise<void> {
  const config = probeConfig.parse(JSON.parse(process.env['PROBE_CONFIG'] ?? '{}'));
  const ending = new AbortController();
  process.on('SIGTERM', () => ending.abort());
  const inserter = createInserter(config, {
    password: process.env['PROBE_PASSWORD'] ?? '',
    ca: process.env['PROBE_CA'],
  });
  const { table, run } = config;
  await persist(async () => {
    if (config.createTable) {
      await inserter.query(
        `CREATE TABLE IF NOT EXISTS ${table} (id bigint, run text, PRIMARY KEY (id, run))`,
        [],
      );
    }
    await inserter.query(`SELECT 1 FROM ${table} LIMIT 1`, []);
  }, Date.now() + config.durationMs);
  print({ type: 'ready', atMs: Date.now() });
  setTimeout(() => ending.abort(), config.durationMs).unref();
  await insertUntil(inserter, config, ending.signal);
  print({ type: 'stopped', atMs: Date.now() });
  const rows = await persist(
    () => inserter.query(`SELECT id::int AS id FROM ${table} WHERE run = $1 ORDER BY id`, [run]),
    Date.now() + readBackMs,
  );
  print({ type: 'stored', ranges: toRanges(rows.map(row => Number(row['id']))) });
  await inserter.close();
}

await main();
