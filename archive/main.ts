/**
 * `node archive.mjs`: one run of the archive, as a Job's container. Settings come by the environment, secrets as files; how it ended
 * is the termination message and the exit status. SIGTERM ends it between two steps, and any end is one that the next run goes on from.
 */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ports } from '#engines/postgresql/names.ts';
import { type ArchiveOutcome, outcomeMessage } from './outcome.ts';
import { archive, failureOf } from './run/archive.ts';
import { realHooks } from './run/hooks.ts';
import { realLimits } from './run/limits.ts';
import { openSessions } from './run/sessions.ts';
import { type ArchiveSettings, archiveSettings, secretFiles, settingsVariable } from './settings.ts';
import { S3Store } from './store/s3-store.ts';

/** Where Kubernetes takes the message from; elsewhere for tests. */
const messagePath = process.env['TERMINATION_MESSAGE'] ?? '/dev/termination-log';

async function run(settings: ArchiveSettings, signal: AbortSignal): Promise<ArchiveOutcome> {
  const secret = async (name: keyof typeof secretFiles) =>
    (await readFile(join(settings.secretsFolder, secretFiles[name]), 'utf8')).trim();
  const storeCa = existsSync(join(settings.secretsFolder, secretFiles.storeCa))
    ? { ca: await secret('storeCa') }
    : {};
  const { path, ...where } = settings.store;
  using store = new S3Store({
    ...where,
    accessKeyId: await secret('accessKeyId'),
    secretAccessKey: await secret('secretAccessKey'),
    ...storeCa,
  });
  const target = {
    port: ports.postgresql,
    ...settings.database,
    ca: await secret('databaseCa'),
    superuserPassword: await secret('databasePassword'),
  };
  await using sessions = await openSessions(target, signal);
  const { shard, deleteAfter, tables } = settings;
  return await archive(
    { sessions, store, path, shard, deleteAfter, limits: realLimits, hooks: realHooks, signal },
    tables,
  );
}

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort(new Error('told to end')));
let outcome: ArchiveOutcome;
try {
  outcome = await run(archiveSettings.parse(JSON.parse(process.env[settingsVariable] ?? '{}')), stop.signal);
} catch (error) {
  const at = new Date().toISOString();
  outcome = { kind: 'Archive', at, state: 'Failed', tables: [], failure: failureOf(error) };
}
const message = outcomeMessage(outcome);
process.stdout.write(`${message}\n`);
await writeFile(messagePath, message).catch(() => undefined);
process.exitCode = outcome.state === 'Succeeded' ? 0 : 1;
