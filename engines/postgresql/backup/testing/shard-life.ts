/** What tests of archiving do with a shard: bind it to a store, back it up, write to it, and bring it back from the store alone. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Repository } from '#engines/backup.ts';
import { sampleShard } from '../../testing/shard.ts';
import { repositoryFiles } from '../repository.ts';
import type { Member } from './member.ts';
import type { ObjectStore } from './object-store.ts';

export const stanza = 'social-0';

export interface Binding {
  readonly path: string;
  readonly rpoSeconds?: number;
  readonly version?: string;
  readonly change?: Partial<Repository>;
}

/** Data of the Secret that binds a member to a path of the store. */
export function filesFor(
  store: ObjectStore,
  { path, rpoSeconds = 4, version = 'v1', change = {} }: Binding,
): Readonly<Record<string, string>> {
  const repository = store.repository(path, stanza, change);
  return repositoryFiles(sampleShard(), repository, { rpoSeconds, version });
}

/** With a checkpoint before it, as Patroni asks for one after a promotion: without, pgBackRest refuses to begin. */
export async function fullBackup(member: Member): Promise<void> {
  await member.shell('psql -Xqh /run/postgresql -c CHECKPOINT');
  await member.shell(`pgbackrest --stanza=${stanza} --type=full --repo1-bundle --archive-timeout=20 backup`);
}

/** Binds it, backs it up, and waits until its meter has seen that this can be restored. */
export async function protect(member: Member, files: Readonly<Record<string, string>>): Promise<void> {
  await member.bind(files);
  await member.until(({ archivedTo }) => archivedTo !== undefined);
  await fullBackup(member);
  await member.until(({ continuity }) => continuity === 'Verified');
}

export interface Acknowledged {
  readonly id: number;
  /** Milliseconds since the epoch at which the server's answer was here. */
  readonly at: number;
}

export interface Writer {
  /** All that were acknowledged. */
  stop(): Promise<readonly Acknowledged[]>;
  /** The same, once a commit has failed. */
  ended(): Promise<readonly Acknowledged[]>;
}

/** Commits a row again and again, until one fails. */
export async function startWriter(client: Client, pauseMs = 20): Promise<Writer> {
  await client.query('CREATE TABLE IF NOT EXISTS written (id bigint PRIMARY KEY, filler text)');
  const acknowledged: Acknowledged[] = [];
  const stopping = new AbortController();
  const work = (async () => {
    for (let id = 1; !stopping.signal.aborted; id++) {
      try {
        await client.query('INSERT INTO written VALUES ($1, $2)', [id, 'x'.repeat(200)]);
      } catch {
        return;
      }
      acknowledged.push({ id, at: Date.now() });
      await sleep(pauseMs);
    }
  })();
  return {
    stop: async () => {
      stopping.abort();
      await work;
      return acknowledged;
    },
    ended: async () => {
      await work;
      return acknowledged;
    },
  };
}

/** Names of the segments that the store holds, without their sums. */
export async function storedSegments(store: ObjectStore, path: string): Promise<readonly string[]> {
  const objects = await store.objects.list(`${path}/archive/`);
  return objects
    .map(({ key }) => key.split('/').at(-1) ?? '')
    .filter(name => /^[0-9A-F]{24}-/.test(name))
    .map(name => name.slice(0, 24));
}
