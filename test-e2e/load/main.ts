/**
 * The load, run as a pod. On SIGTERM, or after its time, it stops, reads everything back, compares it with what was
 * acknowledged, and ends.
 *
 * LOAD_CONFIG is the configuration as JSON; the fleet's Secret is mounted at /secret.
 */
import { createClientFromDirectory } from '#client/index.ts';
import { Journal } from './journal.ts';
import { type LoadRecord, loadConfig } from './records.ts';
import { runLoad } from './run.ts';

function print(record: LoadRecord): void {
  process.stdout.write(`${JSON.stringify(record)}\n`);
}

async function main(): Promise<void> {
  const config = loadConfig.parse(JSON.parse(process.env['LOAD_CONFIG'] ?? '{}'));
  const ending = new AbortController();
  process.on('SIGTERM', () => ending.abort());
  setTimeout(() => ending.abort(), config.durationMs).unref();
  const journal = new Journal(config.slowestPerSecond, print);
  const client = await createClientFromDirectory('/secret', {
    hooks: journal.hooks,
    timeouts: { callMs: config.callMs },
    pool: { max: config.writers + 2 },
    applicationName: 'load',
  });
  try {
    print(await runLoad(config, client, journal, ending.signal));
  } finally {
    await client.close();
  }
}

await main();
