/** An application that writes and reads through the client library while its fleet is changed under it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '#client/index.ts';
import { readAll, rowsOf } from './contents.ts';
import type { Journal } from './journal.ts';
import { Ledger } from './ledger.ts';
import { Pace } from './pace.ts';
import { randomFrom } from './random.ts';
import { checkTotals, readTotals, type Side, sameTotals, type Totals } from './reader.ts';
import type { LoadConfig, LoadReport } from './records.ts';
import {
  moneyPerPot,
  nameOf,
  type Owner,
  ownerAt,
  potsPerOwner,
  type Statements,
  statementsFor,
} from './shape.ts';
import { Writer } from './writer.ts';

/** For opening accounts, and for reading everything back, when shards are slow or away. */
const persistMs = 240_000;
/** For dead weight to be there, and on replicas too. */
const readyMs = 1_200_000;

async function persist<T>(work: () => Promise<T>, forMs = persistMs): Promise<T> {
  const untilMs = Date.now() + forMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > untilMs) throw error;
      await sleep(250);
    }
  }
}

/** The tables must be empty. Looks before it opens one: a try whose outcome nobody knows may have done it. */
async function openAccounts(client: Client, statements: Statements, owners: readonly Owner[]): Promise<void> {
  for (let first = 0; first < owners.length; first += 16) {
    await Promise.all(
      owners.slice(first, first + 16).map(owner =>
        persist(async () => {
          const { rows } = await client.forKey(owner.key).query(statements.look, owner.values);
          if (rows.length > 0) return;
          await client.forKey(owner.key).transaction(async transaction => {
            await transaction.query(statements.open, owner.values);
            await transaction.query(statements.fill, owner.values);
          });
        }),
      ),
    );
  }
}

/** Works until it is told to stop, then reads everything back. Rejects when accounts cannot be opened, or be read in the end. */
export async function runLoad(
  config: LoadConfig,
  client: Client,
  journal: Journal,
  stop: AbortSignal,
): Promise<LoadReport> {
  const { shape } = config;
  const statements = statementsFor(shape);
  const owners = Array.from({ length: shape.owners }, (_, index) => ownerAt(shape, index));
  await openAccounts(client, statements, owners);
  journal.milestone('opened');
  const ledger = new Ledger(owners.map(nameOf), potsPerOwner * moneyPerPot);
  const expected: Totals = {
    accounts: owners.length,
    money: owners.length * potsPerOwner * moneyPerPot,
    amounts: 0,
    ballast: config.ballast,
  };
  const sides: readonly Side[] = config.replicas ? ['primaries', 'replicas'] : ['primaries'];
  // Until the dead weight is there, and replicas are no longer behind; from here on nothing that they tell may change.
  for (const side of sides) {
    const begins = async (): Promise<void> => {
      const { totals } = await readTotals(client, statements, side);
      const found = `${side} begin with ${JSON.stringify(totals)} instead of ${JSON.stringify(expected)}`;
      if (!sameTotals(totals, expected)) throw new Error(found);
    };
    await persist(begins, readyMs);
  }
  journal.milestone('ready');

  let last = 0;
  const number = (): string => String(++last);
  const perWriter = config.writesPerSecond / config.writers;
  const writing = Array.from({ length: config.writers }, async (_, index) => {
    const random = randomFrom(config.seed * 1000 + index);
    const own = owners.filter((_owner, at) => at % config.writers === index);
    const writer = new Writer({ client, journal, ledger, statements, random, number }, own);
    const pace = new Pace(perWriter, (index * 1000) / config.writesPerSecond);
    while (await pace.turn(stop)) await writer.step();
  });
  const reading = sides.map(async (side, index) => {
    const pace = new Pace(config.passesPerSecond, index * 50);
    while (await pace.turn(stop)) await checkTotals(client, statements, side, expected, journal);
  });
  await Promise.all([...writing, ...reading]);
  journal.latencies.flush();

  const contents = await persist(() => readAll(client, statements, persistMs));
  const { totals } = await persist(() => readTotals(client, statements, 'primaries'));
  const { acknowledged, unknown, failed, retried, passes, wrongOwn, errors, latencies } = journal;
  const { usual, total } = latencies;
  return {
    type: 'report',
    acknowledged,
    unknown,
    failed,
    retried,
    ...ledger.judge(contents),
    passes,
    wrongOwn,
    longestMs: total.max,
    writes: latencies.of(kind => !kind.startsWith('scatter') && kind !== 'read'),
    usual,
    rows: rowsOf(contents, totals.ballast),
    errors,
  };
}
