/** Sessions with both ends of transfers, for one pass: opened when first needed, closed with the pass. */
import { CredentialsMissingError, reachablePrimary } from '#controllers/connect-target.ts';
import type { MigrationTransfer } from '#crds/api/migration/status.ts';
import type { ShardMigration } from '#crds/api/shard-migration.ts';
import { EngineError, UnreachableError } from '#engines/errors.ts';
import type { End, Transfer, TransferEnd, TransferSession } from '#engines/migration.ts';
import type { MigrationDeps, ShardAccess } from './deps.ts';
import type { MigrationFacts } from './facts.ts';
import { paceOf } from './pace.ts';

type ShardFacts = NonNullable<ReturnType<ShardAccess['find']>>;

const ENDS = ['source', 'target'] as const;

export class TransferSessions implements AsyncDisposable {
  readonly #deps: MigrationDeps;
  readonly #migration: ShardMigration;
  /** Transfers that share what spec.pace allows. */
  readonly #sharing: number;
  readonly #signal: AbortSignal;
  readonly #open = new Map<string, Promise<TransferSession>>();

  constructor(
    deps: MigrationDeps,
    { migration, status }: Pick<MigrationFacts, 'migration' | 'status'>,
    signal: AbortSignal,
  ) {
    this.#deps = deps;
    this.#migration = migration;
    this.#sharing = status.transfers?.length ?? 1;
    this.#signal = signal;
  }

  /** An end whose Shard is not there is left out. Throws EngineError, CredentialsMissingError, KubeError. */
  of(plan: MigrationTransfer): Promise<TransferSession> {
    const known = this.#open.get(plan.id);
    if (known) return known;
    const opening = this.#connect(plan);
    this.#open.set(plan.id, opening);
    return opening;
  }

  /** Ends whose Shard does not exist. */
  missing(plan: MigrationTransfer): readonly End[] {
    return ENDS.filter(end => !this.#shard(plan[end]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#open.values().map(async opening => {
        try {
          await (await opening)[Symbol.asyncDispose]();
        } catch {
          // One that could not be opened has told whoever asked; one that cannot be closed is closed by its end.
        }
      }),
    );
  }

  async #connect(plan: MigrationTransfer): Promise<TransferSession> {
    const found = { source: this.#shard(plan.source), target: this.#shard(plan.target) };
    const present = found.source ?? found.target;
    if (!present) throw new UnreachableError(`neither Shard ${plan.source} nor ${plan.target} exists`);
    const open = this.#deps.shards.openTransfer(present.shard);
    if (!open) throw new UnreachableError(`${present.shard.spec.engine.type} cannot move data yet`);
    const [source, target] = await Promise.all(ENDS.map(end => this.#end(found[end])));
    return open(
      this.#transfer(plan, present),
      { ...(source && { source }), ...(target && { target }) },
      this.#signal,
    );
  }

  async #end(facts: ShardFacts | undefined): Promise<TransferEnd | undefined> {
    if (!facts) return undefined;
    const { shard, members } = facts;
    const primary = reachablePrimary(members);
    if (!primary) throw new UnreachableError(`no primary of ${shard.metadata.name} can be reached`);
    const target = await this.#deps.shards.connectTarget(shard, primary, this.#signal);
    const standbys = members.filter(({ role, ready }) => role === 'replica' && ready).map(({ name }) => name);
    return { shard, target, standbys };
  }

  #shard(name: string): ShardFacts | undefined {
    return this.#deps.shards.find({ namespace: this.#migration.metadata.namespace ?? '', name });
  }

  #transfer(plan: MigrationTransfer, { shard }: ShardFacts): Transfer {
    const { keyType, tables, geoColumn } = shard.spec.sharding;
    const { pace } = this.#migration.spec;
    return {
      id: plan.id,
      migration: this.#migration.metadata.name,
      keyType,
      partition: plan.partition,
      whole: plan.whole,
      targetEmpty: plan.targetEmpty,
      tables: tables.flatMap(({ name, key, reference }) =>
        reference || key === undefined ? [] : [{ name, key }],
      ),
      ...(geoColumn === undefined ? {} : { regionColumn: geoColumn }),
      ...(pace && { pace: paceOf(pace, this.#sharing) }),
    };
  }
}

/** What a session fails with when the database, not the program, is the matter. */
export function isOutage(error: unknown): error is EngineError | CredentialsMissingError {
  return error instanceof EngineError || error instanceof CredentialsMissingError;
}
