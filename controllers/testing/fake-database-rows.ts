/**
 * A database in memory, as far as moving data is about it: rows, logins by generation, and which login may see what. What a real
 * one refuses this one refuses too. For tests of who can read and write what at every instant of a migration.
 */
import { StaleAccessError } from '#engines/errors.ts';
import type { End } from '#engines/migration.ts';

export type Kind = 'write' | 'read';

export interface LogEntry {
  readonly id: number;
  /** Undefined: deleted. */
  readonly value: string | undefined;
  /** It came over a stream or with a copy: other streams do not carry it on. */
  readonly replicated: boolean;
}

/** What a transfer keeps in each of its two databases. */
export interface Journal {
  readonly side: End;
  readonly slots: (slot: number) => boolean;
  closing: boolean;
  /** Rows were copied to here, all or some. */
  copied: boolean;
  /** Logins that see the partition. */
  readonly visible: Set<string>;
  /** Logins opened before the map names them, and those that may finish what they began. */
  readonly ahead: Set<string>;
  readonly superseded: Set<string>;
  forwardVerified?: string | undefined;
  backVerified?: string | undefined;
  decision?: Decision | undefined;
}

export interface Decision {
  readonly writes: End;
  readonly at: string;
  readonly stallMs: number;
  readonly generations: Readonly<Record<End, number>>;
}

export class RowsDatabase {
  readonly name: string;
  readonly rows = new Map<number, string>();
  readonly log: LogEntry[] = [];
  readonly logins = new Set<string>();
  readonly journals = new Map<string, Journal>();
  /** Lowest generation that may be open. */
  readonly floor: Record<Kind, number> = { write: 1, read: 1 };
  /** Writers wait: a fence is at work. */
  locked = false;
  /** No session can be opened. */
  unreachable = false;

  readonly #slots: number;

  constructor(name: string, slots: number) {
    this.name = name;
    this.#slots = slots;
    this.logins.add(login('write', 1)).add(login('read', 1));
  }

  slotOf(id: number): number {
    return id % this.#slots;
  }

  generations(kind: Kind): readonly number[] {
    return [...this.logins]
      .filter(name => name.startsWith(kind))
      .map(name => Number(name.slice(kind.length + 1)))
      .toSorted((a, b) => a - b);
  }

  sees(name: string, slot: number): boolean {
    if (!this.logins.has(name)) return false;
    return [...this.journals.values()].every(journal => !journal.slots(slot) || journal.visible.has(name));
  }

  /** False when the login is closed, does not see the row's slot, or has to wait. */
  write(generation: number, id: number, value: string | undefined): boolean {
    if (this.locked || !this.sees(login('write', generation), this.slotOf(id))) return false;
    this.put({ id, value, replicated: false });
    return true;
  }

  put(entry: LogEntry): void {
    if (entry.value === undefined) this.rows.delete(entry.id);
    else this.rows.set(entry.id, entry.value);
    this.log.push(entry);
  }

  /** Rows that a login sees; undefined when it is closed. */
  read(generation: number): readonly number[] | undefined {
    const name = login('read', generation);
    if (!this.logins.has(name)) return undefined;
    return [...this.rows.keys()].filter(id => this.sees(name, this.slotOf(id)));
  }

  /** A new login sees of other transfers what its predecessor saw. */
  openLogin(name: string, from: string): void {
    if (this.logins.has(name)) return;
    this.logins.add(name);
    for (const journal of this.journals.values()) if (journal.visible.has(from)) journal.visible.add(name);
  }

  closeLogin(name: string): void {
    this.logins.delete(name);
    for (const journal of this.journals.values()) {
      journal.visible.delete(name);
      journal.ahead.delete(name);
      journal.superseded.delete(name);
    }
  }

  /** What the shard controller does with the generations of the map; an order that is out of date changes nothing. */
  ensureAccess(wanted: Readonly<Record<Kind, number>>): void {
    for (const kind of ['write', 'read'] as const) {
      if (wanted[kind] < this.floor[kind]) {
        throw new StaleAccessError(`${kind} ${wanted[kind]} is below ${this.floor[kind]}`);
      }
    }
    for (const kind of ['write', 'read'] as const) {
      const last =
        this.generations(kind)
          .filter(generation => generation < wanted[kind])
          .at(-1) ?? 0;
      this.openLogin(login(kind, wanted[kind]), login(kind, last));
      for (const generation of this.generations(kind)) {
        const name = login(kind, generation);
        const kept = [...this.journals.values()].some(
          ({ ahead, superseded }) => ahead.has(name) || superseded.has(name),
        );
        if (generation !== wanted[kind] && !kept) this.closeLogin(name);
      }
    }
  }
}

export function login(kind: Kind, generation: number): string {
  return `${kind} ${generation}`;
}
