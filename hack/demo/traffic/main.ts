/**
 * The demo's traffic, run as a pod beside the fleet, as an application would be. On SIGTERM it stops, reads back what was
 * acknowledged, says what it found, and removes its rows.
 */
import { setTimeout } from 'node:timers/promises';
import { createClientFromDirectory } from '#client/index.ts';
import { Traffic } from './traffic.ts';

/** Of one caller: some 200 writes a second in all. */
const pauseMs = 35;

function print(record: object): void {
  process.stdout.write(`${JSON.stringify(record)}\n`);
}

async function main(): Promise<void> {
  const ending = new AbortController();
  process.on('SIGTERM', () => ending.abort());
  let repeated = 0;
  const mapsMs: number[] = [];
  await using client = await createClientFromDirectory('/secret', {
    applicationName: 'demo',
    hooks: { onRetry: () => void repeated++, onMap: () => void mapsMs.push(Date.now()) },
  });
  const traffic = new Traffic(client, () => setTimeout(pauseMs));
  await traffic.open();
  mapsMs.length = 0;
  print({ type: 'ready' });
  await traffic.run(ending.signal);
  print(await traffic.report(repeated, mapsMs));
  await traffic.clear();
}

await main();
