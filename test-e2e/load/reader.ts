/** One scatter over all shards, and what its totals must be at any moment. */
import { byShard, type Client, type Result } from '#client/index.ts';
import type { Journal } from './journal.ts';
import type { Statements } from './shape.ts';

const fields = ['accounts', 'money', 'amounts', 'ballast'] as const;
export type Totals = Readonly<Record<(typeof fields)[number], number>>;
type Row = Readonly<Record<(typeof fields)[number], string | number>>;

export type Side = 'primaries' | 'replicas';

/** The totals now, added up over the shards; and what each shard said. */
export async function readTotals(
  client: Client,
  statements: Statements,
  side: Side,
): Promise<{ readonly totals: Totals; readonly shards: ReadonlyMap<string, readonly Row[]> }> {
  const results = await client.scatter<Row, ReadonlyMap<string, Result<Row>>>(statements.totals, {
    merge: byShard(),
    ...(side === 'replicas' ? { read: 'replica' as const } : {}),
  });
  const shards = new Map([...results].map(([shard, { rows }]) => [shard, rows]));
  const sum = (field: (typeof fields)[number]): number =>
    [...shards.values()].flat().reduce((total, row) => total + Number(row[field]), 0);
  return {
    totals: {
      accounts: sum('accounts'),
      money: sum('money'),
      amounts: sum('amounts'),
      ballast: sum('ballast'),
    },
    shards,
  };
}

export function sameTotals(a: Totals, b: Totals): boolean {
  return fields.every(field => a[field] === b[field]);
}

/** One pass. Never rejects. */
export async function checkTotals(
  client: Client,
  statements: Statements,
  side: Side,
  expected: Totals,
  journal: Journal,
): Promise<void> {
  const before = client.map?.epoch;
  try {
    const { totals, shards } = await journal.timed(`scatter of ${side}`, () =>
      readTotals(client, statements, side),
    );
    if (sameTotals(totals, expected)) journal.passes.right++;
    else {
      const said = JSON.stringify([...shards]);
      const epochs = `map ${before} before, ${client.map?.epoch} after`;
      journal.wrong(
        side,
        `${JSON.stringify(totals)} instead of ${JSON.stringify(expected)}; ${said}; ${epochs}`,
      );
    }
  } catch (error) {
    journal.passes.failed++;
    journal.error(error);
  }
}
