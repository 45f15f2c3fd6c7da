/**
 * Schema files, each once and in order, each one transaction together with its record. They run as a login that is a mere
 * member of the owner: a file is text from a ConfigMap, and whoever may write that is not thereby a superuser.
 */
import { createHash, randomBytes } from 'node:crypto';
import { Client, DatabaseError } from 'pg';
import type { SchemaFile } from '#engines/engine.ts';
import { SchemaError } from '#engines/errors.ts';
import { scramVerifier } from '#engines/scram.ts';
import { disconnect, messageOf, sqlState, transaction } from './connection.ts';
import { roles } from './names.ts';
import { schemaLogin } from './schema-sql.ts';
import { quoteIdentifier, quoteLiteral } from './sql-text.ts';
import { movingStates } from './transfer-schema-sql.ts';

/** Not tried again by itself: while it waits for its lock, whatever wants the table waits behind it. */
const lockTimeout = '55P03';

/** Longest message that goes into a condition. */
const MESSAGE_LENGTH = 1500;

/** `open` connects as the given login. Throws {@link SchemaError} at the first file that fails. */
export async function applySchema(
  admin: Client,
  files: readonly SchemaFile[],
  open: (login: string, password: string) => Promise<Client>,
): Promise<readonly string[]> {
  const { rows } = await admin.query<{ name: string; hash: string }>(
    'SELECT name, hash FROM shardwright.schema_file',
  );
  const recorded = new Map(rows.map(({ name, hash }) => [name, hash]));
  const changed = files.find(file => recorded.has(file.name) && recorded.get(file.name) !== hashOf(file));
  if (changed) {
    throw new SchemaError('SchemaChanged', `${changed.name} was applied before and has been changed since`, {
      file: changed.name,
      remedy: 'Restore the file as it was and put the change into a new file that sorts after it.',
      applied: [],
    });
  }
  const pending = files.filter(file => !recorded.has(file.name));
  if (pending.length === 0) return [];
  const password = randomBytes(24).toString('base64url');
  const login = quoteIdentifier(schemaLogin);
  const verifier = quoteLiteral(scramVerifier(password, randomBytes(16)));
  await admin.query(`ALTER ROLE ${login} LOGIN PASSWORD ${verifier}`);
  try {
    const client = await open(schemaLogin, password);
    try {
      return await applyInOrder(client, pending);
    } finally {
      await disconnect(client);
    }
  } finally {
    await admin.query(`ALTER ROLE ${login} NOLOGIN PASSWORD NULL`).catch(() => undefined);
  }
}

async function applyInOrder(client: Client, files: readonly SchemaFile[]): Promise<readonly string[]> {
  const applied: string[] = [];
  for (const file of files) {
    try {
      await transaction(client, () => applyFile(client, file));
    } catch (cause) {
      throw schemaError(file, cause, applied);
    }
    applied.push(file.name);
  }
  return applied;
}

async function applyFile(client: Client, file: SchemaFile): Promise<void> {
  // A file before this one may have changed it.
  await client.query(`SET LOCAL role = ${quoteLiteral(roles.owner)}`);
  const before = await transactionId(client);
  await client.query(file.sql);
  if ((await transactionId(client)) !== before)
    throw new TransactionControlError('the file ends its transaction');
  // Whatever the file set for its session is not the next one's.
  await client.query('RESET ALL');
  await client.query('SELECT shardwright.schema_applied($1, $2)', [file.name, hashOf(file)]);
}

class TransactionControlError extends Error {
  override readonly name = 'TransactionControlError';
}

async function transactionId(client: Client): Promise<string | undefined> {
  const { rows } = await client.query<{ id: string }>('SELECT pg_catalog.pg_current_xact_id()::text AS id');
  return rows[0]?.id;
}

function schemaError(file: SchemaFile, cause: unknown, applied: readonly string[]): SchemaError {
  const detail = cause instanceof DatabaseError ? cause : undefined;
  const line = lineOf(file.sql, detail?.position);
  const parts = [messageOf(cause), detail?.detail, detail?.hint && `Hint: ${detail.hint}`].filter(Boolean);
  const place = line === undefined ? file.name : `${file.name}, line ${line}`;
  return new SchemaError(
    'SchemaFailed',
    `${place}: ${parts.join(' ')}`.slice(0, MESSAGE_LENGTH),
    {
      file: file.name,
      line,
      applied,
      retryable: refusedByMigration(cause) || passes(cause),
      remedy: remedyFor(cause),
    },
    { cause },
  );
}

function refusedByMigration(cause: unknown): boolean {
  const state = sqlState(cause);
  return Object.values(movingStates).some(refused => refused === state);
}

/** Nothing that the file says is at fault: another try may well succeed. */
function passes(cause: unknown): boolean {
  if (cause instanceof TransactionControlError) return false;
  // The connection was lost on the way.
  if (!(cause instanceof DatabaseError)) return true;
  const { code = '', message } = cause;
  // Grants take no lock on their table: one that was given meanwhile makes a statement on that table fail.
  return passing.test(code) || (code === 'XX000' && message.startsWith('tuple concurrently'));
}

/** Lost connections, lost deadlocks, servers that are full, that start or that stop, and what their hardware does to them. */
const passing = /^(08|40|53|58|57P)/;

function remedyFor(cause: unknown): string {
  if (cause instanceof TransactionControlError)
    return 'Take BEGIN, COMMIT and ROLLBACK out of the file: each file is one transaction.';
  if (refusedByMigration(cause)) return 'None is needed: the file is tried again after the migration.';
  if (passes(cause)) return 'None is needed: the file is tried again.';
  if (sqlState(cause) === lockTimeout) {
    return 'Let the transactions end that hold the table (pg_stat_activity), then change the file, if only by a comment: it is tried again when it changes.';
  }
  return 'Correct the file; it is tried again when it changes.';
}

/** The server counts characters from 1. */
function lineOf(sql: string, position: string | undefined): number | undefined {
  const offset = Number(position);
  if (!Number.isInteger(offset) || offset < 1) return undefined;
  const before = Array.from(sql).slice(0, offset - 1);
  return before.filter(character => character === '\n').length + 1;
}

function hashOf(file: SchemaFile): string {
  return createHash('sha256').update(file.sql).digest('hex');
}
