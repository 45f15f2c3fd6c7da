/**
 * An application at work on a pair of shards: writers that remember every acknowledgement and read back what they wrote, scatter
 * readers that count, and a session that keeps a cursor open. What they see that must not be is listed in `wrong`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { End } from '#engines/migration.ts';
import { messageOf, sqlState } from '#engines/postgresql/connection.ts';
import { slotOf } from '#sharding/slot.ts';
import type { Pair } from './pair.ts';

export const trafficSchema = `
CREATE TABLE accounts (id bigint PRIMARY KEY, version int NOT NULL DEFAULT 0);
CREATE TABLE notes (account bigint, id int, body text, PRIMARY KEY (account, id));`;
export const trafficTables = [
  { name: 'accounts', key: 'id' },
  { name: 'notes', key: 'account' },
];

const ACCOUNTS = 120;
const accounts = Array.from({ length: ACCOUNTS }, (_, i) => i + 1);
const WRITERS = 5;
/** A statement may have come too late for its map: the client gets a newer one and tries again. */
const stale = new Set(['42501', '28P01', '28000', '57P01', '08P01', '3D000']);

export class Traffic {
  readonly wrong: string[] = [];
  acknowledged = 0;
  scatters = 0;
  #stopped = false;
  /** By a transaction that only reads. */
  #fetches = 20;
  #lingering = false;
  readonly #pair: Pair;
  readonly #moves: (slot: number) => boolean;
  readonly #versions = new Map<number, number>();
  /** Accounts whose last write had no known outcome when the application stopped. */
  readonly #unknown = new Set<number>();
  #running: Promise<unknown> = Promise.resolve();

  constructor(pair: Pair, moves: (slot: number) => boolean) {
    this.#pair = pair;
    this.#moves = moves;
  }

  static async fill(pair: Pair): Promise<void> {
    await pair.source.admin.query(`INSERT INTO accounts SELECT n FROM generate_series(1, ${ACCOUNTS}) n`);
  }

  start(): void {
    this.#running = Promise.all([
      ...Array.from({ length: WRITERS }, (_, i) => this.#write(i)),
      this.#scatter('reader'),
      this.#scatter('writer'),
      this.#linger(),
    ]);
  }

  /** Then compares what was acknowledged with what is there: the notes of an account follow from its version. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    const versions = new Map<number, number>();
    const notes: string[] = [];
    for (const end of ['source', 'target'] as const) {
      const client = await this.#pair.writer(end);
      const accountRows = await client.query<{ id: string; version: number }>(
        'SELECT id, version FROM accounts',
      );
      for (const { id, version } of accountRows.rows) {
        if (versions.has(Number(id))) this.wrong.push(`account ${id} is there twice`);
        versions.set(Number(id), version);
      }
      const noteRows = await client.query<{ account: string; id: number }>('SELECT account, id FROM notes');
      notes.push(...noteRows.rows.map(({ account, id }) => `${account}:${id}`));
      await client.end();
    }
    for (const id of accounts) {
      const version = versions.get(id);
      const expected = this.#versionOf(id);
      if (version !== expected && !(this.#unknown.has(id) && version === expected + 1))
        this.wrong.push(`account ${id}: ${version} is there, ${expected} was acknowledged`);
    }
    const expected = [...versions]
      .filter(([, version]) => version % 3 === 1)
      .map(([id, version]) => `${id}:${version}`);
    if (notes.toSorted().join() !== expected.toSorted().join())
      this.wrong.push('notes do not belong to versions');
  }

  /** Whether every account is written to again within the time. */
  async progress(patienceMs = 60_000): Promise<boolean> {
    const before = new Map(this.#versions);
    const deadline = performance.now() + patienceMs;
    const done = (id: number) => this.#versionOf(id) > (before.get(id) ?? 0);
    while (!accounts.every(done)) {
      if (performance.now() > deadline) return false;
      await sleep(20);
    }
    return true;
  }

  /** From now on a transaction that reads goes on until a map is published. Resolves once one does. */
  async lingerOn(): Promise<void> {
    this.#fetches = Number.POSITIVE_INFINITY;
    while (!this.#lingering) await sleep(5);
  }

  #versionOf(id: number): number {
    return this.#versions.get(id) ?? 0;
  }

  async #write(writer: number): Promise<void> {
    const connections = new Connections(this.#pair, 'writer');
    const own = accounts.filter(id => id % WRITERS === writer);
    for (let turn = 0; !this.#stopped; turn++) {
      // Three in a row without a pause: what is carried round in a circle comes too late and undoes the next.
      const id = own[Math.floor(turn / 3) % own.length] ?? 0;
      const next = this.#versionOf(id) + 1;
      const end = this.#ownerOf(id, 'write');
      try {
        const client = await connections.to(end);
        await this.#change(client, id, next);
        this.acknowledged++;
        this.#versions.set(id, next);
        const read = await versionIn(client, id);
        if (read !== next) this.wrong.push(`account ${id} reads ${read} after ${next} was acknowledged`);
      } catch (error) {
        await connections.forget(end);
        if (!isStale(error)) this.wrong.push(`writer: ${messageOf(error)}`);
        if (this.#versionOf(id) < next) await this.#findOut(connections, id, next);
      }
      if (turn % 3 === 2) await sleep(5);
    }
    await connections.close();
  }

  /** Version by version: an update; one with a note in the same transaction; one with the deletion of that note. */
  async #change(client: Client, id: number, next: number): Promise<void> {
    const one = async (what: string, sql: string, values: unknown[]) => {
      const { rowCount } = await client.query(sql, values);
      if (rowCount !== 1) this.wrong.push(`${what} of account ${id}: ${rowCount} rows`);
    };
    const update = () =>
      one('update', 'UPDATE accounts SET version = $2 WHERE id = $1 AND version = $2 - 1', [id, next]);
    if (next % 3 === 0) return update();
    await client.query('BEGIN');
    await update();
    if (next % 3 === 1) await one('note', `INSERT INTO notes VALUES ($1, $2, 'note')`, [id, next]);
    else await one('deletion', 'DELETE FROM notes WHERE account = $1 AND id = $2', [id, next - 1]);
    await client.query('COMMIT');
  }

  /** The outcome is unknown: the database is asked, by the newest map, until it answers. */
  async #findOut(connections: Connections, id: number, next: number): Promise<void> {
    while (!this.#stopped) {
      const end = this.#ownerOf(id, 'write');
      try {
        const now = await versionIn(await connections.to(end), id);
        if (now === next) this.#versions.set(id, next);
        else if (now !== next - 1)
          this.wrong.push(`account ${id} reads ${now} where ${next - 1} or ${next} was written`);
        return;
      } catch (error) {
        await connections.forget(end);
        if (!isStale(error)) this.wrong.push(`finding out: ${messageOf(error)}`);
        await sleep(5);
      }
    }
    this.#unknown.add(id);
  }

  async #scatter(login: 'reader' | 'writer'): Promise<void> {
    const connections = new Connections(this.#pair, login);
    while (!this.#stopped) {
      try {
        const at = connections.generation();
        let count = 0;
        for (const end of ['source', 'target'] as const) {
          const client = await connections.to(end, at);
          const { rows } = await client.query<{ count: number }>('SELECT count(*)::int FROM accounts');
          count += rows[0]?.count ?? 0;
        }
        this.scatters++;
        if (count !== ACCOUNTS) this.wrong.push(`scatter of ${login}s: ${count} accounts`);
      } catch (error) {
        await connections.close();
        if (!isStale(error)) this.wrong.push(`scatter: ${messageOf(error)}`);
      }
      await sleep(3);
    }
    await connections.close();
  }

  /** Reads on in a transaction that began before: what it gets after the map has changed is out of date. */
  async #linger(): Promise<void> {
    while (!this.#stopped) {
      const before = this.#pair.owner.write;
      let client: Client | undefined;
      try {
        client = await this.#pair.writer(before);
        await client.query('BEGIN; DECLARE all_accounts CURSOR FOR SELECT * FROM accounts');
        for (let i = 0; i < this.#fetches && !this.#stopped; i++) {
          const began = this.#pair.owner.write;
          await client.query('FETCH 1 FROM all_accounts');
          if (began !== before) {
            this.wrong.push('a session of an older generation read on after the map was published');
            break;
          }
          this.#lingering = true;
          await sleep(15);
        }
      } catch (error) {
        if (!isStale(error)) this.wrong.push(`lingering: ${messageOf(error)}`);
      }
      this.#lingering = false;
      await client?.end().catch(() => undefined);
      await sleep(1);
    }
  }

  #ownerOf(id: number, side: 'read' | 'write'): End {
    return this.#moves(slotOf(id, 'bigint', 256)) ? this.#pair.owner[side] : 'source';
  }
}

/** A client's connections, one with each end, by the generations of the map. */
class Connections {
  readonly #pair: Pair;
  readonly #login: 'reader' | 'writer';
  readonly #open = new Map<End, { readonly client: Client; readonly generation: number }>();

  constructor(pair: Pair, login: 'reader' | 'writer') {
    this.#pair = pair;
    this.#login = login;
  }

  generation(): Readonly<Record<End, number>> {
    const side = this.#login === 'reader' ? 'read' : 'write';
    return { source: this.#pair.source.generations[side], target: this.#pair.target.generations[side] };
  }

  async to(end: End, at = this.generation()): Promise<Client> {
    const known = this.#open.get(end);
    if (known?.generation === at[end]) return known.client;
    await this.forget(end);
    const client = await this.#pair.client(end, `app_${this.#login === 'reader' ? 'ro_' : ''}g${at[end]}`);
    this.#open.set(end, { client, generation: at[end] });
    return client;
  }

  async forget(end: End): Promise<void> {
    await this.#open
      .get(end)
      ?.client.end()
      .catch(() => undefined);
    this.#open.delete(end);
  }

  async close(): Promise<void> {
    await Promise.all((['source', 'target'] as const).map(end => this.forget(end)));
  }
}

async function versionIn(client: Client, id: number): Promise<number | undefined> {
  const { rows } = await client.query<{ version: number }>('SELECT version FROM accounts WHERE id = $1', [
    id,
  ]);
  return rows[0]?.version;
}

function isStale(error: unknown): boolean {
  const state = sqlState(error);
  return state === undefined || stale.has(state) || /Connection|not queryable/.test(messageOf(error));
}
