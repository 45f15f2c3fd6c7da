/**
 * Moves a part of one shard to another and back, as decision 3 says, but with rows copied by hand: to see what clients notice.
 * Each step is a method of its own, so that a test can stop between two of them.
 */
import { setTimeout } from 'node:timers/promises';
import type { Client as PgClient } from 'pg';
import { settleMove } from '#sharding/change.ts';
import { type MapShard, type Side, shardByName } from '#sharding/map.ts';
import type { Partition } from '#sharding/partition.ts';
import { type PostgresFleet, password } from './postgres-fleet.ts';

const slots = 256;
/** A quarter of all keys: the lower half of what social-0 owns at first. */
const moving = { first: 0, last: 63 };
const partition: Partition = { kind: 'slots', slots, ranges: [moving] };
export const isMoving = `(hashint8extended(id, 0) & ${slots - 1}) <= ${moving.last}`;
const shards = ['social-0', 'social-1'] as const;
type ShardName = (typeof shards)[number];

export class HandMove implements AsyncDisposable {
  readonly #fleet: PostgresFleet;
  readonly #sessions: Readonly<Record<ShardName, PgClient>>;
  #owner: ShardName = 'social-0';
  /** Between the decision and the map that tells of it. */
  publishAfterMs = 0;

  private constructor(fleet: PostgresFleet, sessions: Readonly<Record<ShardName, PgClient>>) {
    this.#fleet = fleet;
    this.#sessions = sessions;
  }

  /** Hides the rows that will move from whoever is not named in `visible`, and names the present owner's logins. */
  static async prepare(fleet: PostgresFleet): Promise<HandMove> {
    const move = new HandMove(fleet, {
      'social-0': await fleet.superuser('social-0'),
      'social-1': await fleet.superuser('social-1'),
    });
    for (const shard of shards) {
      await move.#run(
        shard,
        `CREATE TABLE visible (login name PRIMARY KEY); GRANT SELECT ON visible TO PUBLIC;
         CREATE POLICY moving ON items USING (NOT (${isMoving}) OR EXISTS (SELECT FROM visible WHERE login = current_user));
         ALTER TABLE items ENABLE ROW LEVEL SECURITY`,
      );
    }
    await move.#run('social-0', `INSERT INTO visible VALUES ('app_g1'), ('app_ro_g1')`);
    return move;
  }

  get owner(): ShardName {
    return this.#owner;
  }

  get gainer(): ShardName {
    return this.#owner === 'social-0' ? 'social-1' : 'social-0';
  }

  /** Copies the rows as they are and lets the next readers in on both shards. The old ones may still read. */
  async openReaders(): Promise<void> {
    await this.#copy();
    await this.#open(this.#owner, 'read', false);
    await this.#open(this.gainer, 'read', true);
  }

  publishReaders(): void {
    this.#publish('read');
  }

  /** Of the generation before the published one. */
  async closeReaders(): Promise<void> {
    const login = `app_ro_g${this.#shard(this.#owner).readerGeneration - 1}`;
    await this.#run(this.#owner, closeLogin(login));
    await this.#end(this.#owner, login);
  }

  /** Fences the writers off, gives the rows to the other shard, publishes. Afterwards that one is the owner. */
  async switchWriters(): Promise<void> {
    const { owner, gainer } = this;
    const login = `app_g${this.#shard(owner).generation}`;
    await this.#run(owner, `BEGIN; SET LOCAL lock_timeout = '2s'; LOCK TABLE items IN EXCLUSIVE MODE`);
    await this.#copy();
    await this.#open(gainer, 'write', true);
    await this.#run(owner, closeLogin(login));
    await this.#open(owner, 'write', false);
    await this.#run(owner, 'COMMIT');
    await setTimeout(2);
    await this.#end(owner, login);
    await setTimeout(this.publishAfterMs);
    this.#publish('write');
    this.#owner = gainer;
  }

  /** Logins with a session on a shard, and how many, but for the superuser. */
  async sessions(shard: ShardName): Promise<Readonly<Record<string, number>>> {
    const { rows } = await this.#sessions[shard].query<{ usename: string; n: number }>(
      `SELECT usename, count(*)::int AS n FROM pg_stat_activity WHERE usename LIKE 'app%' GROUP BY usename`,
    );
    return Object.fromEntries(rows.map(({ usename, n }) => [usename, n]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of Object.values(this.#sessions)) await session.end();
  }

  async #copy(): Promise<void> {
    const { owner, gainer } = this;
    const { rows } = await this.#sessions[owner].query<{ items: string }>(
      `SELECT coalesce(json_agg(items), '[]')::text AS items FROM items WHERE ${isMoving}`,
    );
    await this.#run(gainer, `DELETE FROM items WHERE ${isMoving}`);
    await this.#sessions[gainer].query(
      'INSERT INTO items SELECT * FROM json_populate_recordset(NULL::items, $1)',
      [rows[0]?.items],
    );
  }

  async #open(shard: ShardName, side: Side, sees: boolean): Promise<void> {
    const { generation, readerGeneration } = this.#shard(shard);
    const login = side === 'write' ? `app_g${generation + 1}` : `app_ro_g${readerGeneration + 1}`;
    const rights = side === 'write' ? 'ALL ON items' : 'SELECT ON items, countries';
    await this.#run(
      shard,
      `CREATE ROLE ${login} LOGIN PASSWORD '${password}'; GRANT ${rights} TO ${login};
       ${sees ? `INSERT INTO visible VALUES ('${login}')` : ''}`,
    );
  }

  async #end(shard: ShardName, login: string): Promise<void> {
    await this.#run(
      shard,
      `SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE usename = '${login}'`,
    );
  }

  #publish(side: Side): void {
    const next = ({ generation, readerGeneration }: MapShard) =>
      (side === 'write' ? generation : readerGeneration) + 1;
    const generations = { from: next(this.#shard(this.#owner)), to: next(this.#shard(this.gainer)) };
    this.#fleet.publish(
      settleMove(this.#fleet.map, { partition, from: this.#owner, to: this.gainer, side, generations }),
    );
  }

  #shard(name: ShardName): MapShard {
    const shard = shardByName(this.#fleet.map, name);
    if (shard === undefined) throw new Error(`the map lacks ${name}`);
    return shard;
  }

  async #run(shard: ShardName, sql: string): Promise<void> {
    await this.#sessions[shard].query(sql);
  }
}

function closeLogin(login: string): string {
  return `ALTER ROLE ${login} NOLOGIN; REVOKE ALL ON items, countries FROM ${login}`;
}
