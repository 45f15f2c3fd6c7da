/** The connections of a run to the shard's primary. */
import type { Client } from 'pg';
import { connect, disconnect } from '#engines/postgresql/connection.ts';
import { textSettings } from '#engines/postgresql/migration/verify/table-text.ts';
import { roles } from '#engines/postgresql/names.ts';
import { closeEraser, eraserLogin, openEraser } from './eraser.ts';

export interface DatabaseTarget {
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
  readonly name: string;
  readonly ca: string;
  readonly superuserPassword: string;
}

/** Texts of values depend on some of them, so all of a run's connections have the same. */
const settings: Readonly<Record<string, string>> = {
  ...textSettings,
  search_path: 'pg_catalog',
  lock_timeout: '30s',
  // Rather an error than rows that are not seen.
  row_security: 'off',
  client_connection_check_interval: '5s',
};

/** Statements can carry verifiers, which are no business of a log. Only a superuser may say so. */
const adminSettings = { ...settings, log_min_error_statement: 'panic' } as const;

export interface Sessions extends AsyncDisposable {
  readonly admin: Client;
  /** Connects at the first call. */
  eraser(): Promise<Client>;
}

/** Throws UnreachableError. */
export async function openSessions(target: DatabaseTarget, signal: AbortSignal): Promise<Sessions> {
  const open = (user: string, password: string, its: Readonly<Record<string, string>>) =>
    connect({ ...target, database: target.name, user, password, settings: its }, signal);
  const admin = await open(roles.superuser, target.superuserPassword, adminSettings);
  let eraser: Client | undefined;
  return {
    admin,
    eraser: async () => {
      eraser ??= await open(eraserLogin, await openEraser(admin), settings);
      return eraser;
    },
    [Symbol.asyncDispose]: async () => {
      if (eraser) {
        await disconnect(eraser);
        await closeEraser(admin);
      }
      await disconnect(admin);
    },
  };
}
