/**
 * What was acknowledged, and so what the databases must hold in the end. Pure. What nobody knows the outcome of may be there
 * or not, but whole, and once; what was refused may not be there at all.
 */

/** Of one write: how many rows of entries it made, and how sure that is. */
interface Entry {
  readonly rows: number;
  readonly made: 'acknowledged' | 'unknown';
  removed: 'no' | 'acknowledged' | 'unknown';
}

interface Account {
  /** Changes of the version: those that were acknowledged, and those of unknown outcome. */
  acknowledged: number;
  unknown: number;
  readonly entries: Map<string, Entry>;
}

export interface Contents {
  readonly accounts: readonly { readonly owner: string; readonly version: string; readonly rows: number }[];
  readonly money: readonly { readonly owner: string; readonly money: number; readonly rows: number }[];
  readonly entries: readonly { readonly owner: string; readonly op: string; readonly rows: number }[];
}

export interface Judgement {
  /** Acknowledged and not there; removed by an acknowledged delete and there again. */
  readonly lost: string[];
  /** There more often than written, or there although refused. */
  readonly doubled: string[];
  /** Half of a transaction, or money that went astray. */
  readonly torn: string[];
}

export type Outcome = 'acknowledged' | 'unknown';

export class Ledger {
  readonly #accounts: ReadonlyMap<string, Account>;
  readonly #money: number;

  /** `money`: what the pots of each owner add up to. */
  constructor(owners: readonly string[], money: number) {
    this.#money = money;
    this.#accounts = new Map(
      owners.map(owner => [owner, { acknowledged: 0, unknown: 0, entries: new Map<string, Entry>() }]),
    );
  }

  bumped(owner: string, outcome: Outcome): void {
    const account = this.#of(owner);
    if (outcome === 'acknowledged') account.acknowledged++;
    else account.unknown++;
  }

  /** `rows`: entries that the write made under this number. */
  entered(owner: string, op: string, rows: number, outcome: Outcome): void {
    this.#of(owner).entries.set(op, { rows, made: outcome, removed: 'no' });
  }

  removed(owner: string, op: string, outcome: Outcome): void {
    const entry = this.#of(owner).entries.get(op);
    if (entry === undefined) throw new Error(`write ${op} of ${owner} was never made`);
    entry.removed = outcome;
  }

  /** The oldest write of an owner that is surely there with one row, to be deleted. */
  removable(owner: string): string | undefined {
    for (const [op, entry] of this.#of(owner).entries) {
      if (entry.made === 'acknowledged' && entry.removed === 'no' && entry.rows === 1) return op;
    }
    return undefined;
  }

  /** Lowest and highest version that an owner's account can have now. */
  versions(owner: string): readonly [number, number] {
    const { acknowledged, unknown } = this.#of(owner);
    return [acknowledged, acknowledged + unknown];
  }

  /** Fewest and most entries that an owner can have now. */
  entryCounts(owner: string): readonly [number, number] {
    let [least, most] = [0, 0];
    for (const entry of this.#of(owner).entries.values()) {
      const [low, high] = rowsOf(entry);
      least += low;
      most += high;
    }
    return [least, most];
  }

  judge({ accounts, money, entries }: Contents): Judgement {
    const found: Judgement = { lost: [], doubled: [], torn: [] };
    const byOwner = Map.groupBy(accounts, row => row.owner);
    const stored = Map.groupBy(entries, row => `${row.owner} ${row.op}`);
    const pots = Map.groupBy(money, row => row.owner);
    for (const [owner, account] of this.#accounts) {
      this.#judgeAccount(owner, byOwner.get(owner) ?? [], found);
      const sum = total(pots.get(owner) ?? [], row => row.money);
      if (sum !== this.#money) found.torn.push(`${owner} has ${sum} instead of ${this.#money}`);
      for (const [op, entry] of account.entries) {
        judgeEntry(
          `write ${op} of ${owner}`,
          entry,
          total(stored.get(`${owner} ${op}`) ?? [], row => row.rows),
          found,
        );
        stored.delete(`${owner} ${op}`);
      }
    }
    for (const name of stored.keys()) found.doubled.push(`write ${name} was refused and is there`);
    for (const owner of byOwner.keys()) {
      if (!this.#accounts.has(owner)) found.doubled.push(`account ${owner} was never opened`);
    }
    return found;
  }

  #judgeAccount(owner: string, rows: Contents['accounts'], found: Judgement): void {
    const count = total(rows, row => row.rows);
    if (count > 1) found.doubled.push(`account ${owner} is there ${count} times`);
    const [row] = rows;
    if (row === undefined) {
      found.lost.push(`account ${owner}`);
      return;
    }
    const [least, most] = this.versions(owner);
    const version = Number(row.version);
    if (version < least) found.lost.push(`${least - version} updates of account ${owner}`);
    if (version > most) found.doubled.push(`${version - most} updates of account ${owner}`);
  }

  #of(owner: string): Account {
    const account = this.#accounts.get(owner);
    if (account === undefined) throw new Error(`${owner} has no account`);
    return account;
  }
}

/** Fewest and most rows that a write has now. */
function rowsOf({ rows, made, removed }: Entry): readonly [number, number] {
  const least = made === 'acknowledged' && removed === 'no' ? rows : 0;
  const most = removed === 'acknowledged' ? 0 : rows;
  return [least, most];
}

function judgeEntry(name: string, entry: Entry, rows: number, found: Judgement): void {
  const [least, most] = rowsOf(entry);
  if (rows > entry.rows) found.doubled.push(`${name} is there ${rows} times instead of ${entry.rows}`);
  else if (rows !== 0 && rows !== entry.rows)
    found.torn.push(`${name} is there ${rows} times of ${entry.rows}`);
  else if (rows < least) found.lost.push(name);
  else if (rows > most) found.lost.push(`the deletion of ${name}`);
}

function total<T>(rows: readonly T[], of: (row: T) => number): number {
  return rows.reduce((sum, row) => sum + of(row), 0);
}
