/**
 * Compares what both ends hold of a transfer while both go on. The leader is the end that takes writes; the other follows it by
 * a stream. Hashes are summed per bucket of keys; the rows of unequal buckets are compared by hash; rows that are not the same
 * then are looked at again by their keys until each is known to be the same or to differ for good. So a difference that is
 * reported is one, and none that was there when the leader was read goes unseen - in a sample, none among its keys.
 *
 * Reads whole tables, one at a time, on a connection of its own at each end; remembers sums and the rows of a few buckets only.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { End, Transfer, TransferTable, Verification } from '#engines/migration.ts';
import { disconnect } from '../connection.ts';
import type { Ends } from './ends.ts';
import { publisher, type Stream, subscriber } from './names.ts';
import { partitionPredicate } from './predicate.ts';
import type { Pace } from './short-lock.ts';
import { arrivals } from './verify/arrival.ts';
import { describeDifference } from './verify/describe.ts';
import { type Key, type Parties, settle } from './verify/settle.ts';
import {
  type Both,
  bucketRows,
  bucketSums,
  bucketsFor,
  type Scope,
  type Sums,
  sampleFrom,
  sideBySide,
  unequalBuckets,
  unequalKeys,
} from './verify/sums.ts';
import { tableText, textSettings } from './verify/table-text.ts';

/** Rows to remember at once, of each end. */
const ROWS_AT_ONCE = 20_000;
/** Rows to settle at once. */
const KEYS_AT_ONCE = 500;
/** So many differences say enough: the rest is not looked for. */
const DIFFERENCES = 5;

/** `random` chooses the sample. */
export interface VerifyOptions extends Pace {
  /** Longest time that a row may take from one end to the other, in milliseconds. */
  readonly patienceMs: number;
}

const real: VerifyOptions = {
  pause: ms => sleep(ms),
  random: () => Math.random(),
  patienceMs: 30_000,
};

/** Throws {@link FollowerBehindError}, {@link UndecidedError}, {@link NotComparableError}. */
export async function verify(
  ends: Ends,
  transfer: Transfer,
  stream: Stream,
  mode: 'Full' | 'Sample',
  options: VerifyOptions = real,
): Promise<Verification> {
  const leader = publisher(stream);
  const follower = subscriber(stream);
  const clients: Client[] = [];
  const open = async (end: End, settings: Readonly<Record<string, string>> = {}) => {
    const client = await ends[end].open({ ...textSettings, ...settings });
    clients.push(client);
    return client;
  };
  try {
    const readers = { leader: await open(leader), follower: await open(follower) };
    // The stream itself waits for the replicas.
    const messenger = await open(leader, { synchronous_commit: 'local' });
    const arrived = arrivals(
      { id: transfer.id, patienceMs: options.patienceMs },
      { leader: messenger, follower: readers.follower },
      options,
    );
    const comparison = new Comparison(
      transfer,
      { leader, follower },
      {
        clients: readers,
        arrived,
        pause: ms => options.pause(ms),
      },
    );
    const sample = mode === 'Sample' ? sampleFrom(() => options.random()) : undefined;
    for (const table of transfer.tables) {
      await comparison.compare(table, sample);
      if (comparison.differences.length >= DIFFERENCES) break;
    }
    const { rows, differences } = comparison;
    return { matches: differences.length === 0, rows, differences: differences.slice(0, DIFFERENCES) };
  } finally {
    await Promise.all(clients.map(disconnect));
  }
}

class Comparison {
  readonly #transfer: Transfer;
  readonly #ends: Both<End>;
  readonly #parties: Parties;
  readonly differences: string[] = [];
  rows = 0;

  constructor(transfer: Transfer, ends: Both<End>, parties: Parties) {
    this.#transfer = transfer;
    this.#ends = ends;
    this.#parties = parties;
  }

  async compare(declared: TransferTable, sample: number | undefined): Promise<void> {
    const table = await tableText(this.#parties.clients.leader, declared.name);
    const where = {
      leader: partitionPredicate(this.#transfer, declared, this.#ends.leader, 't'),
      follower: partitionPredicate(this.#transfer, declared, this.#ends.follower, 't'),
    };
    const scope: Scope = {
      table,
      where,
      buckets: bucketsFor(await this.#expectedRows(table.from)),
      ...(sample !== undefined && { sample }),
    };
    const sums = await sideBySide(this.#parties.clients, this.#parties.arrived, (client, end) =>
      bucketSums(client, scope, end),
    );
    this.rows += total(sums.leader);
    for (const buckets of unequalBuckets(sums, ROWS_AT_ONCE)) {
      const rows = await sideBySide(this.#parties.clients, this.#parties.arrived, (client, end) =>
        bucketRows(client, scope, end, buckets),
      );
      const keys = unequalKeys(rows);
      for (let start = 0; start < keys.length; start += KEYS_AT_ONCE) {
        await this.#settle(scope, keys.slice(start, start + KEYS_AT_ONCE));
        if (this.differences.length >= DIFFERENCES) return;
      }
    }
  }

  async #settle({ table, where }: Scope, keys: readonly Key[]): Promise<void> {
    const room = DIFFERENCES - this.differences.length;
    for (const key of (await settle(this.#parties, table, where, keys)).slice(0, room))
      this.differences.push(await describeDifference(this.#parties.clients, this.#ends, table, where, key));
  }

  /** From statistics; it decides on the number of buckets only. */
  async #expectedRows(from: string): Promise<number> {
    const { rows } = await this.#parties.clients.leader.query<{ rows: number }>(
      `SELECT sum(greatest(c.reltuples, 0))::float8 AS rows FROM pg_class c
       WHERE c.oid = to_regclass($1) OR c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass($1)) WHERE isleaf)`,
      [from],
    );
    return rows[0]?.rows ?? 0;
  }
}

function total(sums: Sums): number {
  return sums.values().reduce((sum, { rows }) => sum + rows, 0);
}
