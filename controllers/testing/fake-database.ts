/**
 * Databases that exist in memory only: one per shard, with what a session would change in a real one. For tests of the
 * controllers against a real API server, where no member runs.
 */
import type { Shard } from '#crds/api/shard.ts';
import type {
  AccessInput,
  Broadcast,
  ConnectTarget,
  Engine,
  MemberAddress,
  SchemaFile,
  ShardSession,
} from '#engines/engine.ts';
import { ReferenceTableError, SchemaError, UnreachableError } from '#engines/errors.ts';
import { realClock } from '#kernel/clock.ts';
import { FakeTransfers } from './fake-transfer.ts';

export interface FakeDatabase {
  access: AccessInput | undefined;
  files: SchemaFile[];
  broadcasts: Broadcast[];
  sessions: number;
  /** Names of the replicas of each sweep. */
  swept: (readonly string[])[];
}

export class FakeDatabases {
  readonly #databases = new Map<string, FakeDatabase>();
  /** A file whose text contains this fails. */
  readonly poison = 'BROKEN';
  /** A file whose text contains this is refused for as long as a migration moves a table. */
  readonly moving = 'MOVING';
  /** No session can be opened. */
  unreachable = false;
  /** Members that no session reaches. */
  readonly silent = new Set<string>();
  /** Rows of the same databases, for migrations. */
  readonly transfers = new FakeTransfers({ slots: 256, clock: realClock });
  onSwitchover: (shard: Shard, to: string) => Promise<void> = () => Promise.resolve();
  /** Before schema files are applied. */
  onSchema: (shard: Shard) => Promise<void> = () => Promise.resolve();
  onRestart: (shard: Shard, member: string) => Promise<void> = () => Promise.resolve();

  of(namespace: string, name: string): FakeDatabase {
    const key = `${namespace}/${name}`;
    const known = this.#databases.get(key);
    if (known) return known;
    const fresh: FakeDatabase = { access: undefined, files: [], broadcasts: [], sessions: 0, swept: [] };
    this.#databases.set(key, fresh);
    return fresh;
  }

  /** The engine given, with sessions to these databases. */
  engine(real: Engine): Engine {
    return {
      ...real,
      openTransfer: this.transfers.open,
      connect: (shard, target) =>
        this.unreachable
          ? Promise.reject(new UnreachableError(`${shard.metadata.name} does not answer`))
          : Promise.resolve(this.#open(shard, target)),
    };
  }

  #open(shard: Shard, _target: ConnectTarget): ShardSession {
    const database = this.of(shard.metadata.namespace ?? '', shard.metadata.name);
    database.sessions++;
    const { poison, moving, transfers } = this;
    const version = () => database.broadcasts.at(-1)?.version ?? 0n;
    return {
      ensureAccess(access) {
        const { generation, readerGeneration } = access;
        transfers.of(shard.metadata.name).ensureAccess({ write: generation, read: readerGeneration });
        database.access = access;
        return Promise.resolve([]);
      },
      applySchema: async files => {
        await this.onSchema(shard);
        const applied: string[] = [];
        for (const file of files) {
          if (database.files.some(known => known.name === file.name)) continue;
          if (file.sql.includes(poison) || file.sql.includes(moving)) {
            const retryable = file.sql.includes(moving);
            const detail = { file: file.name, line: 1, remedy: 'Correct the file.', applied, retryable };
            throw new SchemaError('SchemaFailed', `syntax error at or near "${poison}"`, detail);
          }
          database.files.push(file);
          applied.push(file.name);
        }
        return { applied };
      },
      referenceVersion: () => Promise.resolve(version()),
      broadcastsSince: (since, limit) =>
        Promise.resolve(database.broadcasts.filter(entry => entry.version > since).slice(0, limit)),
      applyBroadcast(entry) {
        if (shard.spec.schema && database.files.length === 0)
          return Promise.reject(new ReferenceTableError(`reference table ${entry.table} does not exist`));
        database.broadcasts.push(entry);
        return Promise.resolve();
      },
      statistics: () => Promise.resolve({ sizeBytes: 8_000_000, lagBytes: {} }),
      sweep: replicas => {
        database.swept.push(replicas.map(({ name }) => name));
        return Promise.resolve({
          changes: [],
          unreached: replicas.map(({ name }) => name).filter(name => this.silent.has(name)),
        });
      },
      restart: (member: MemberAddress) => this.onRestart(shard, member.name),
      switchover: (_from: MemberAddress, to: string) => this.onSwitchover(shard, to),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
}
