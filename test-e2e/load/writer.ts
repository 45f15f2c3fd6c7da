/**
 * One writer with owners of its own: it inserts, updates, deletes, pays in transactions of several statements, and reads its
 * own writes back. As nobody else writes to its owners, it knows what every answer must be.
 */
import { type Client, type Transaction, UnknownOutcomeError } from '#client/index.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { Journal } from './journal.ts';
import type { Ledger, Outcome } from './ledger.ts';
import { moneyPerPot, nameOf, type Owner, potsPerOwner, type Statements } from './shape.ts';

const kinds = ['insert', 'update', 'delete', 'transaction', 'read'] as const;
type Kind = (typeof kinds)[number];

export interface WriterParts {
  readonly client: Client;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly statements: Statements;
  /** At least 0, less than 1. */
  readonly random: () => number;
  /** A number for each write, never given twice. */
  readonly number: () => string;
}

export class Writer {
  readonly #parts: WriterParts;
  readonly #owners: readonly Owner[];

  constructor(parts: WriterParts, owners: readonly Owner[]) {
    this.#parts = parts;
    this.#owners = owners;
  }

  /** One write, or one look. Never rejects. */
  async step(): Promise<void> {
    const owner = this.#pick(this.#owners);
    const kind = this.#pick(kinds);
    if (owner === undefined || kind === undefined) return;
    await this.#carryOut(kind, owner);
  }

  #carryOut(kind: Kind, owner: Owner): Promise<void> {
    const { ledger, statements } = this.#parts;
    const name = nameOf(owner);
    const scope = this.#parts.client.forKey(owner.key);
    switch (kind) {
      case 'insert': {
        const op = this.#parts.number();
        return this.#write(
          kind,
          () => scope.query(statements.insert, [...owner.values, op, 0]),
          outcome => ledger.entered(name, op, 1, outcome),
        );
      }
      case 'update':
        return this.#write(
          kind,
          async () => this.#checkVersion(name, await scope.query(statements.bump, owner.values)),
          outcome => ledger.bumped(name, outcome),
        );
      case 'delete': {
        const op = ledger.removable(name);
        if (op === undefined) return this.#carryOut('insert', owner);
        return this.#write(
          kind,
          async () => {
            const { rowCount } = await scope.query(statements.remove, [...owner.values, op]);
            if (rowCount !== 1) this.#wrong(`DELETE of write ${op} of ${name} found ${rowCount} rows`);
          },
          outcome => ledger.removed(name, op, outcome),
        );
      }
      case 'transaction': {
        const op = this.#parts.number();
        return this.#write(
          kind,
          () => scope.transaction(transaction => this.#pay(transaction, owner, op)),
          outcome => {
            ledger.bumped(name, outcome);
            ledger.entered(name, op, 2, outcome);
          },
        );
      }
      case 'read':
        return this.#look(owner);
      default:
        return assertNever(kind);
    }
  }

  async #write(kind: Kind, work: () => Promise<unknown>, note: (outcome: Outcome) => void): Promise<void> {
    const { journal } = this.#parts;
    try {
      await journal.timed(kind, work);
      note('acknowledged');
      journal.acknowledged++;
    } catch (error) {
      journal.error(error);
      if (error instanceof UnknownOutcomeError) {
        note('unknown');
        journal.unknown++;
      } else {
        journal.failed++;
      }
    }
  }

  /** Money from one pot to the other, an entry for each, and the account's version. */
  async #pay(transaction: Transaction, owner: Owner, op: string): Promise<void> {
    const { statements, random } = this.#parts;
    const amount = 1 + Math.floor(random() * 9);
    for (const [pot, change] of [
      [1, -amount],
      [2, amount],
    ] as const) {
      const { rowCount } = await transaction.query(statements.pay, [...owner.values, pot, change]);
      if (rowCount !== 1) this.#wrong(`UPDATE of pot ${pot} of ${nameOf(owner)} found ${rowCount} rows`);
      await transaction.query(statements.insert, [...owner.values, op, change]);
    }
    this.#checkVersion(nameOf(owner), await transaction.query(statements.bump, owner.values));
  }

  #checkVersion(name: string, { rows }: { readonly rows: readonly unknown[] }): void {
    const [least, most] = this.#parts.ledger.versions(name);
    const versions = rows.map(row => Number(fieldOf(row, 'version')));
    const [version] = versions;
    if (versions.length === 1 && version !== undefined && version > least && version <= most + 1) return;
    this.#wrong(
      `UPDATE of account ${name} returned [${versions.join()}], not one of ${least + 1} to ${most + 1}`,
    );
  }

  async #look(owner: Owner): Promise<void> {
    const { client, journal, ledger, statements } = this.#parts;
    const name = nameOf(owner);
    try {
      const { rows } = await journal.timed('read', () =>
        client.forKey(owner.key).query(statements.look, owner.values),
      );
      const [row] = rows;
      const found = {
        version: Number(fieldOf(row, 'version')),
        entries: Number(fieldOf(row, 'entries')),
        money: Number(fieldOf(row, 'money')),
      };
      const right =
        rows.length === 1 &&
        within(found.version, ledger.versions(name)) &&
        within(found.entries, ledger.entryCounts(name)) &&
        found.money === potsPerOwner * moneyPerPot;
      if (right) return;
      const expected = `version ${ledger.versions(name).join('-')}, ${ledger.entryCounts(name).join('-')} entries`;
      this.#wrong(`${name} reads ${JSON.stringify(rows)}, written were ${expected}`);
    } catch (error) {
      journal.error(error);
    }
  }

  #wrong(message: string): void {
    this.#parts.journal.wrong('own', message);
  }

  #pick<T>(values: readonly T[]): T | undefined {
    return values[Math.floor(this.#parts.random() * values.length)];
  }
}

function within(value: number, [least, most]: readonly [number, number]): boolean {
  return value >= least && value <= most;
}

export function fieldOf(row: unknown, name: string): unknown {
  return typeof row === 'object' && row !== null && name in row ? Reflect.get(row, name) : undefined;
}
