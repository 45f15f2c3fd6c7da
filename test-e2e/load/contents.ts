/** Everything that the application can see in the end, read back from all shards. */
import { z } from 'zod';
import type { Client } from '#client/index.ts';
import type { Contents } from './ledger.ts';
import type { LoadReport } from './records.ts';
import type { Statements } from './shape.ts';

/** bigint comes as text. */
const whole = z.union([z.string(), z.number()]).transform(String);
const accounts = z.array(z.object({ owner: z.string(), version: whole, rows: z.int() }));
const money = z.array(z.object({ owner: z.string(), money: z.int(), rows: z.int() }));
const entries = z.array(z.object({ owner: z.string(), op: whole, rows: z.int() }));

export async function readAll(client: Client, statements: Statements, timeoutMs: number): Promise<Contents> {
  const rows = async (sql: string): Promise<unknown> => (await client.scatter(sql, { timeoutMs })).rows;
  return {
    accounts: accounts.parse(await rows(statements.allAccounts)),
    money: money.parse(await rows(statements.allMoney)),
    entries: entries.parse(await rows(statements.allEntries)),
  };
}

export function rowsOf(contents: Contents, ballast: number): LoadReport['rows'] {
  return {
    accounts: sum(contents.accounts),
    pots: sum(contents.money),
    entries: sum(contents.entries),
    ballast,
  };
}

function sum(rows: readonly { readonly rows: number }[]): number {
  return rows.reduce((total, row) => total + row.rows, 0);
}
