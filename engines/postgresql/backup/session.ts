/** What a drill asks of the live shard: a mark on its primary, and what its tables hold, on a replica. */
import type { Client } from 'pg';
import type { Shard } from '#crds/api/shard.ts';
import type { BackupSession, BackupTarget } from '#engines/backup.ts';
import type { MemberAddress } from '#engines/engine.ts';
import { UnreachableError } from '#engines/errors.ts';
import { administrative, connect, disconnect } from '../connection.ts';
import { roles, serverNames } from '../names.ts';
import { namespaceOf } from '../object.ts';
import { type Contents, contentsSettings, letGoOn, readContents } from './contents.ts';
import { writeMark } from './mark.ts';

/**
 * Throws {@link UnreachableError} when the primary is; a replica that is counts as none.
 */
export async function openBackupSession(
  shard: Shard,
  target: BackupTarget,
  signal: AbortSignal,
): Promise<BackupSession> {
  const open = (member: MemberAddress, settings: Readonly<Record<string, string>>) =>
    connect(
      {
        host: member.host,
        ...(target.ports && { port: target.ports.sql }),
        serverName: serverNames(shard.metadata.name, namespaceOf(shard))[0] ?? shard.metadata.name,
        ca: target.ca,
        user: roles.superuser,
        password: target.passwords.superuser,
        database: shard.spec.engine.database,
        settings,
      },
      signal,
    );
  const primary = await open(target.primary, administrative);
  try {
    return new PostgresBackupSession(primary, await openReplica(target.replica, open));
  } catch (error) {
    await disconnect(primary);
    throw error;
  }
}

async function openReplica(
  member: MemberAddress | undefined,
  open: (member: MemberAddress, settings: Readonly<Record<string, string>>) => Promise<Client>,
): Promise<Client | undefined> {
  if (member === undefined) return undefined;
  try {
    const replica = await open(member, contentsSettings);
    await letGoOn(replica);
    return replica;
  } catch (error) {
    if (error instanceof UnreachableError) return undefined;
    throw error;
  }
}

class PostgresBackupSession implements BackupSession {
  readonly #primary: Client;
  readonly #replica: Client | undefined;

  constructor(primary: Client, replica: Client | undefined) {
    this.#primary = primary;
    this.#replica = replica;
  }

  mark(): Promise<string> {
    return writeMark(this.#primary);
  }

  async contents(limitBytes: number): Promise<Contents | undefined> {
    return this.#replica === undefined ? undefined : readContents(this.#primary, this.#replica, limitBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#primary, ...(this.#replica ? [this.#replica] : [])].map(disconnect));
  }
}
