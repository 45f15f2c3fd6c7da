/**
 * A fleet in memory for tests of migrations: the real controller and the real map store over simulated databases, clients that
 * write and count with every map that was ever published, and the rules that must hold at every instant. `crashAt` ends the
 * operator at any point - an action, a step inside a verb, a write to the API server - and `restart` begins a new one.
 */
import { firstMap } from '#controllers/shard-cluster/map-from-spec.ts';
import { MapStore } from '#controllers/shard-map/map-store.ts';
import type { Action } from '#controllers/shard-migration/decision.ts';
import type { MigrationDeps, MigrationObjects, WatchedObjects } from '#controllers/shard-migration/deps.ts';
import { FINALIZER, migrationOf } from '#controllers/shard-migration/facts.ts';
import { InTurn } from '#controllers/shard-migration/in-turn.ts';
import { migrationReconciler } from '#controllers/shard-migration/reconcile.ts';
import { StatusMemory } from '#controllers/shard-migration/status-memory.ts';
import type { ShardMigrationStatus } from '#crds/api/migration/status.ts';
import { apiVersion } from '#crds/api/names.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { StaleAccessError } from '#engines/errors.ts';
import type { Switch } from '#engines/migration.ts';
import type { Condition } from '#kernel/conditions.ts';
import { ConflictError } from '#kernel/errors.ts';
import type { EventInput } from '#kernel/events.ts';
import { silentLog } from '#kernel/log.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { StoreEvent } from '#kernel/reflector.ts';
import { FakeClock } from '#kernel/testing/fake-clock.ts';
import type { MapShard, ShardMap } from '#sharding/map.ts';
import { shardByOrdinal } from '#sharding/map.ts';
import { login } from './fake-database-rows.ts';
import { FakeTransfers } from './fake-transfer.ts';
import { KilledError } from './kill-point.ts';
import { MemoryConfigMaps } from './memory-config-maps.ts';
import { clusterWith, member, settled, shardWith } from './objects.ts';

const SLOTS = 256;
/** Every so many slots one is looked at: enough for partitions, which are ranges. */
const STRIDE = 16;
/** Rows that are there from the beginning to the end, one in each of those slots: every count must find each of them once. */
const STEADY = Array.from({ length: SLOTS / STRIDE }, (_, i) => i * STRIDE);
const fleet = { namespace: 'default', name: 'social' };

export class RuleBrokenError extends Error {
  override readonly name = 'RuleBrokenError';
}

export interface WorldOptions {
  readonly shards?: number;
  /** ShardCluster.spec.shards. */
  readonly wanted?: number;
  /** Makes it a fleet by ranges of keys; the key of a row is then its slot. */
  readonly splitPoints?: readonly string[];
}

export class MigrationWorld {
  readonly clock = new FakeClock(new Date('2026-11-21T10:00:00Z'));
  readonly transcript: string[] = [];
  readonly transfers: FakeTransfers;
  readonly maps: ShardMap[] = [];
  cluster: ShardCluster | undefined;
  /** Names of Shards that say they are not Ready. */
  readonly unready = new Set<string>();
  /** Shards whose schema is behind. */
  readonly behind = new Set<string>();
  /** Points passed by the operator that runs. */
  points = 0;
  /** The operator is killed when it comes to this point. */
  crashAt = Number.POSITIVE_INFINITY;
  /** Or to a step of this name. */
  crashBefore: string | undefined;
  /** What the rules are checked with is known to be false for a while: for twins that must fail. */
  readonly #migrations = new Map<string, KubeObject>();
  readonly #handlers = new Set<(event: StoreEvent<KubeObject>) => void>();
  readonly #configMaps = new MemoryConfigMaps();
  readonly #gone = new Set<string>();
  #cutOff: ReadonlyMap<string, KubeObject> | undefined;
  #reconcile: ReturnType<typeof migrationReconciler>;
  #store: MapStore;
  #version = 1;
  /** Epochs of maps with which nobody can count any more. */
  readonly #refused = new Set<number>();
  #known: { readonly from: string; readonly shards: readonly Shard[] } | undefined;
  #ready = false;
  #nextRow = 0;
  /** What was acknowledged, by row. */
  readonly #acknowledged = new Map<number, string>();

  private constructor({ shards = 2, wanted = shards, splitPoints }: WorldOptions) {
    this.transfers = new FakeTransfers({
      slots: SLOTS,
      clock: this.clock,
      onStep: step => this.#passPoint(step),
    });
    this.#configMaps.onWrite = name => this.#passPoint(`write ${name}`);
    this.cluster = clusterWith({
      shards: wanted,
      sharding: shardingOf(splitPoints),
    });
    this.#store = this.#newStore();
    this.#reconcile = this.#newOperator();
  }

  static async create(options: WorldOptions & { readonly empty?: number } = {}): Promise<MigrationWorld> {
    const world = new MigrationWorld(options);
    const { shards = 2, empty = 0, splitPoints } = options;
    const owner = { apiVersion, kind: 'ShardCluster', name: 'social', uid: 'uid-social' };
    const own = firstMap(
      clusterWith({
        shards,
        sharding: shardingOf(splitPoints),
      }),
    );
    await world.#store.create(fleet, own, owner, AbortSignal.timeout(1000));
    if (empty > 0) {
      const { addShards } = await import('#sharding/change.ts');
      const added = Array.from({ length: empty }, (_, i) => ({
        name: `social-${shards + i}`,
        ordinal: shards + i,
      }));
      await world.#store.publish(fleet, {
        by: 'test',
        change: map => addShards(map, added),
        signal: AbortSignal.timeout(1000),
      });
    }
    world.#seeMap();
    world.tend();
    for (const id of STEADY) world.#mustWrite(id, `first ${id}`);
    world.#ready = true;
    world.points = 0;
    return world;
  }

  get map(): ShardMap {
    const map = this.maps.at(-1);
    if (!map) throw new Error('no map');
    return map;
  }

  // What a person does.

  create(name: string, spec: object): void {
    this.#put({
      apiVersion,
      kind: 'ShardMigration',
      metadata: {
        name,
        namespace: 'default',
        uid: `uid-${name}`,
        generation: 1,
        creationTimestamp: this.clock.now().toISOString(),
      },
      spec: { cluster: { name: 'social' }, rollbackWindow: '2m', ...spec },
    });
  }

  edit(name: string, spec: object): void {
    const raw = this.#raw(name);
    const generation = (raw.metadata.generation ?? 1) + 1;
    const before = typeof raw['spec'] === 'object' ? raw['spec'] : {};
    this.#put({ ...raw, metadata: { ...raw.metadata, generation }, spec: { ...before, ...spec } });
  }

  annotate(name: string, annotations: Readonly<Record<string, string>>): void {
    const raw = this.#raw(name);
    const all = { ...raw.metadata.annotations, ...annotations };
    this.#put({ ...raw, metadata: { ...raw.metadata, annotations: all } });
  }

  delete(name: string): void {
    const raw = this.#migrations.get(name);
    if (!raw) return;
    if (raw.metadata.finalizers?.length) {
      const deletionTimestamp = this.clock.now().toISOString();
      this.#put({ ...raw, metadata: { ...raw.metadata, deletionTimestamp } });
    } else this.#remove(raw);
  }

  deleteShard(name: string): void {
    this.#gone.add(name);
  }

  status(name: string): ShardMigrationStatus {
    return migrationOf(this.#raw(name)).status ?? {};
  }

  exists(name: string): boolean {
    return this.#migrations.has(name);
  }

  /** Watches bring nothing more: the operator's copies stay as they are, while its writes arrive. */
  cutWatch(): void {
    this.#cutOff = new Map(this.#migrations);
  }

  restoreWatch(): void {
    this.#cutOff = undefined;
  }

  // What the operator does.

  /** A new process: it remembers nothing. */
  restart(): void {
    this.#store = this.#newStore();
    this.#handlers.clear();
    this.#reconcile = this.#newOperator();
    this.#say('  (the operator is killed, another one begins)');
  }

  /** One pass. Returns when the next is due, in milliseconds; undefined when there is nothing to come. */
  async pass(name: string): Promise<number | undefined> {
    const signal = new AbortController().signal;
    const context = { signal, log: silentLog, reconcileId: 'test' };
    try {
      const result = await this.#reconcile({ namespace: 'default', name }, context);
      return result?.requeueAfterMs;
    } catch (error) {
      if (error instanceof KilledError) {
        this.crashAt = Number.POSITIVE_INFINITY;
        this.restart();
        return 0;
      }
      if (error instanceof ConflictError) return 100;
      throw error;
    } finally {
      this.tend();
      this.check();
    }
  }

  /** Passes, with time, writes and streams going on in between, until it holds. */
  async until(names: readonly string[], holds: () => boolean, limit = 400): Promise<void> {
    for (let i = 0; i < limit; i++) {
      if (holds()) return;
      for (const name of names) {
        const againMs = this.exists(name) ? await this.pass(name) : undefined;
        await this.clock.advance(Math.min(againMs ?? 1000, 15_000));
        this.work();
      }
    }
    const states = names.map(name => (this.exists(name) ? JSON.stringify(this.status(name)) : 'gone'));
    throw new Error(`it did not come true: ${states.join('\n')}\n${this.transcript.slice(-30).join('\n')}`);
  }

  // What goes on around it.

  /** Applications write, streams flow a bit. */
  work(rows = 3): void {
    for (let i = 0; i < 4; i++) {
      const id = SLOTS + ((this.#nextRow++ * 5) % SLOTS);
      const value = `row ${this.#nextRow}`;
      this.#write(id, value);
      this.#write(STEADY[id % STEADY.length] ?? 0, value);
    }
    this.transfers.flow(rows);
    this.check();
  }

  /** What the ShardCluster and Shard controllers do meanwhile. */
  tend(): void {
    this.#seeMap();
    for (const shard of this.map.shards) {
      try {
        this.transfers.of(shard.name).ensureAccess({ write: shard.generation, read: shard.readerGeneration });
      } catch (error) {
        if (!(error instanceof StaleAccessError)) throw error;
      }
    }
  }

  /** The rules that hold at every instant. Throws RuleBrokenError. */
  check(): void {
    if (!this.#ready) return;
    for (let slot = 0; slot < SLOTS; slot += STRIDE) {
      const writers = new Set(this.maps.flatMap(map => this.#writersOf(map, slot)));
      if (writers.size > 1)
        throw new RuleBrokenError(`slot ${slot} has two writers: ${[...writers].join(', ')}`);
    }
    for (const map of this.maps) {
      if (this.#refused.has(map.epoch)) continue;
      const seen = this.#scatter(map);
      if (!seen) {
        // A login that is closed stays so: generations are never used again.
        this.#refused.add(map.epoch);
        continue;
      }
      for (const id of STEADY) {
        const times = seen.get(id) ?? 0;
        if (times !== 1)
          throw new RuleBrokenError(`row ${id} is counted ${times} times with epoch ${map.epoch}`);
      }
      for (const [id, times] of seen) {
        if (times > 1)
          throw new RuleBrokenError(`row ${id} is counted ${times} times with epoch ${map.epoch}`);
      }
    }
  }

  /** The rules that hold once all migrations have ended. Throws RuleBrokenError. */
  checkEnd(): void {
    this.tend();
    this.check();
    for (let slot = 0; slot < SLOTS; slot++) {
      if (this.#writersOf(this.map, slot).length !== 1)
        throw new RuleBrokenError(`slot ${slot} has no writer`);
    }
    if (!this.#scatter(this.map)) throw new RuleBrokenError('nobody can count with the newest map');
    const found = new Map<number, string>();
    for (const database of this.transfers.databases) {
      if (database.journals.size > 0) throw new RuleBrokenError(`${database.name} keeps a journal`);
      if (database.logins.size > 2) {
        throw new RuleBrokenError(`${database.name} keeps logins: ${[...database.logins].join(', ')}`);
      }
      for (const [id, value] of database.rows) {
        if (found.has(id)) throw new RuleBrokenError(`row ${id} is in two shards`);
        found.set(id, value);
      }
    }
    for (const [id, value] of this.#acknowledged) {
      if (found.get(id) !== value)
        throw new RuleBrokenError(`row ${id} should be ${value}, is ${found.get(id)}`);
    }
    if (found.size !== this.#acknowledged.size) throw new RuleBrokenError('there are rows that nobody wrote');
  }

  #writersOf(map: ShardMap, slot: number): readonly string[] {
    const shard = ownerOf(map, slot);
    const database = this.transfers.of(shard.name);
    return database.sees(login('write', shard.generation), slot) ? [shard.name] : [];
  }

  #scatter(map: ShardMap): Map<number, number> | undefined {
    const seen = new Map<number, number>();
    for (const shard of map.shards) {
      const rows = this.transfers.of(shard.name).read(shard.readerGeneration);
      // A client that is refused anywhere fetches the map and begins anew.
      if (!rows) return undefined;
      for (const id of rows) seen.set(id, (seen.get(id) ?? 0) + 1);
    }
    return seen;
  }

  #write(id: number, value: string): void {
    for (const map of this.maps.toReversed()) {
      const shard = ownerOf(map, id % SLOTS);
      if (this.transfers.of(shard.name).write(shard.generation, id, value)) {
        this.#acknowledged.set(id, value);
        return;
      }
    }
  }

  #mustWrite(id: number, value: string): void {
    this.#write(id, value);
    if (this.#acknowledged.get(id) !== value) throw new Error(`nobody takes row ${id}`);
  }

  #seeMap(): void {
    const facts = this.#store.read(fleet);
    if (facts.kind === 'Present' && facts.stored.map.epoch !== this.maps.at(-1)?.epoch) {
      this.maps.push(facts.stored.map);
    }
  }

  #passPoint(what: string): void {
    this.#seeMap();
    if (this.points++ === this.crashAt || what === this.crashBefore) {
      this.crashBefore = undefined;
      this.#say(`  killed before: ${what}`);
      throw new KilledError(what);
    }
    this.check();
  }

  #newStore(): MapStore {
    return new MapStore({
      client: this.#configMaps.client(),
      configMaps: this.#configMaps.cache(),
      clock: this.clock,
    });
  }

  #newOperator(): ReturnType<typeof migrationReconciler> {
    const nothing = { observe: () => undefined, inc: () => undefined };
    const deps: MigrationDeps = {
      caches: {
        shardMigrations: this.#watched(),
        shardClusters: { get: () => this.#clusterObject() },
        shards: { byIndex: () => this.#shards().map(shard => ({ ...shard })) },
        nodes: { values: () => ['eu-west', 'us-east'].map(region => node(region)) },
        storageClasses: { values: () => ['fast', 'standard'].map(name => storageClass(name)) },
      },
      objects: this.#objects(),
      shards: {
        find: ({ name }) => {
          const shard = this.#shards().find(({ metadata }) => metadata.name === name);
          const members = [
            member(`${name}-0`, { role: 'primary' }),
            member(`${name}-1`, { synchronous: true }),
          ];
          return shard && { shard, members };
        },
        connectTarget: async (_shard, primary) => ({
          primary: { name: primary.name, host: primary.podIP ?? '' },
          ca: '',
          passwords: { superuser: '', rest: '' },
        }),
        openTransfer: () => this.transfers.open,
      },
      maps: this.#store,
      statuses: new StatusMemory(this.#watched()),
      planning: new InTurn(),
      events: {
        emit: (event: EventInput) => this.#say(`  event ${event.type} ${event.reason}: ${event.note}`),
        conditionsChanged: () => undefined,
      },
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- counted elsewhere
      metrics: {
        writeStall: nothing,
        cutoversUndone: nothing,
        copiesRestarted: nothing,
        ended: nothing,
      } as unknown as MigrationDeps['metrics'],
      clock: this.clock,
      sessionMs: 60_000,
      comparisonMs: 60_000,
      onAction: action => {
        this.#say(`  ${describeAction(action)}`);
        this.#passPoint(action.kind);
      },
    };
    return migrationReconciler(deps);
  }

  #objects(): MigrationObjects {
    return {
      live: async raw => this.#migrations.get(raw.metadata.name),
      setFinalizer: async (raw, wanted) => {
        this.#passPoint(`finalizer ${wanted}`);
        const live = this.#raw(raw.metadata.name);
        const finalizers = wanted ? [FINALIZER] : [];
        const next = { ...live, metadata: { ...live.metadata, finalizers } };
        if (wanted || live.metadata.deletionTimestamp === undefined) return this.#put(next);
        this.#remove(live);
        return undefined;
      },
      applyStatus: async (raw, status, over) => {
        this.#passPoint('status');
        const live = this.#raw(raw.metadata.name);
        if (over !== live.metadata.resourceVersion)
          throw new ConflictError(409, { message: 'it was changed' }, { verb: 'apply', path: 'status' });
        const before = migrationOf(live).status;
        this.#sayStatus(raw.metadata.name, before, status);
        return this.#put({ ...live, status: structuredClone(status) });
      },
    };
  }

  #watched(): WatchedObjects {
    const cached = () => this.#cutOff ?? this.#migrations;
    return {
      get: ({ name }) => cached().get(name),
      values: () => cached().values(),
      subscribe: handler => {
        this.#handlers.add(handler);
        return { [Symbol.dispose]: () => this.#handlers.delete(handler) };
      },
    };
  }

  #put(object: KubeObject): KubeObject {
    const metadata = { ...object.metadata, resourceVersion: String(++this.#version) };
    const next = { ...object, metadata };
    const old = this.#migrations.get(metadata.name);
    this.#migrations.set(metadata.name, next);
    if (this.#cutOff) return next;
    for (const handler of this.#handlers) {
      handler({ type: old ? 'modified' : 'added', object: next, ...(old ? { old } : {}), initial: false });
    }
    return next;
  }

  #remove(object: KubeObject): void {
    this.#migrations.delete(object.metadata.name);
    for (const handler of this.#handlers) handler({ type: 'deleted', object, initial: false });
    this.#say(`${object.metadata.name} is gone`);
  }

  #raw(name: string): KubeObject {
    const raw = this.#migrations.get(name);
    if (!raw) throw new Error(`no ShardMigration ${name}`);
    return raw;
  }

  #clusterObject(): KubeObject | undefined {
    return this.cluster && { ...this.cluster };
  }

  /** Made once for what they follow from: parsing them is most of the work otherwise. */
  #shards(): readonly Shard[] {
    const from = [this.map.epoch, ...this.unready, '/', ...this.behind, '/', ...this.#gone].join();
    if (this.#known?.from !== from) this.#known = { from, shards: this.#makeShards() };
    return this.#known.shards;
  }

  #makeShards(): readonly Shard[] {
    return this.map.shards
      .filter(({ name }) => !this.#gone.has(name))
      .map(shard => {
        const ready = { type: 'Ready', status: this.unready.has(shard.name) ? 'False' : 'True' };
        const schema = this.behind.has(shard.name) ? { files: 1 } : { hash: 'h', files: 1 };
        return shardWith(
          {
            ordinal: shard.ordinal,
            generation: shard.generation,
            readerGeneration: shard.readerGeneration,
            schema: { configMaps: [], hash: 'h' },
          },
          { name: shard.name, uid: `uid-${shard.name}` },
          {
            ...settled,
            schema,
            conditions: [
              { ...ready, reason: 'Test', message: 'a test', lastTransitionTime: '2026-01-01T00:00:00Z' },
            ],
          },
        );
      });
  }

  #sayStatus(name: string, before: ShardMigrationStatus | undefined, status: ShardMigrationStatus): void {
    const [old, next] = [lineOf(before), lineOf(status)];
    if (old !== next) this.#say(`${name} ${next}`);
  }

  #say(line: string): void {
    if (this.transcript.at(-1) !== line) this.transcript.push(line);
  }
}

function lineOf(status: ShardMigrationStatus | undefined): string {
  const ready = findReady(status?.conditions);
  const stalled = status?.conditions?.some(
    ({ type, status: holds }) => type === 'Stalled' && holds === 'True',
  );
  return `${status?.phase ?? ''}: ${stalled ? 'STALLED ' : ''}${ready?.reason ?? ''}: ${ready?.message ?? ''}`;
}

function findReady(conditions: readonly Condition[] | undefined): Condition | undefined {
  return conditions?.find(({ type }) => type === 'Ready');
}

function describeAction(action: Action): string {
  const { kind } = action;
  const change = 'change' in action ? action.change : undefined;
  const words = ['name', 'region', 'storageClassName', 'stream', 'why', 'ending', 'loser'].flatMap(field => {
    const value: unknown = Reflect.get(action, field);
    return typeof value === 'string' ? [value] : [];
  });
  return ['do', kind, ...words, ...describeChange(change)].join(' ');
}

function describeChange(change: Switch | undefined): readonly string[] {
  if (!change) return [];
  const { side, to, generations } = change;
  const { source, target } = generations;
  return [`${side}s to ${to}, source ${source.from}>${source.to}, target ${target.from}>${target.to}`];
}

function shardingOf(splitPoints: readonly string[] | undefined): object {
  const layout = splitPoints ? { algorithm: 'range', range: { splitPoints } } : { algorithm: 'hash' };
  return { ...layout, slots: SLOTS, tables: [{ name: 'users', key: 'id' }] };
}

function ownerOf(map: ShardMap, slot: number): MapShard {
  const ordinal = ordinalOf(map, slot);
  const shard = shardByOrdinal(map, ordinal);
  if (!shard) throw new Error(`no shard ${ordinal}`);
  return shard;
}

function ordinalOf({ ownership }: ShardMap, slot: number): number {
  if (ownership.algorithm === 'hash') return ownership.owners.write[slot] ?? 0;
  if (ownership.algorithm !== 'range') return 0;
  return ownership.ranges.findLast(({ from }) => from === undefined || Number(from) <= slot)?.write ?? 0;
}

function node(region: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: `node-${region}`, labels: { 'topology.kubernetes.io/region': region } },
  };
}

function storageClass(name: string): KubeObject {
  return { apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', metadata: { name } };
}
