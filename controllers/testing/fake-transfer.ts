/**
 * Transfers between databases in memory: an honest little simulation of engines/migration.ts. Every verb goes in small steps; a
 * test is told before each, and may throw there, which is a crash at that point. Whatever breaks the contract - rows deleted at
 * their owner, a stream started over left-overs - is an error of its own, never silently done.
 */
import type { Shard } from '#crds/api/shard.ts';
import { EngineError, UnreachableError } from '#engines/errors.ts';
import type {
  End,
  EndFacts,
  FenceLimits,
  FenceNotice,
  FenceResult,
  Finding,
  OpenTransfer,
  StreamFacts,
  Switch,
  Transfer,
  TransferFacts,
  TransferSession,
  Verification,
} from '#engines/migration.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { Clock } from '#kernel/clock.ts';
import { partitionContains } from '#sharding/partition.ts';
import { type Journal, type Kind, login, RowsDatabase } from './fake-database-rows.ts';

/** What a controller must never do. */
export class ForbiddenVerbError extends Error {
  override readonly name = 'ForbiddenVerbError';
}

interface Stream {
  readonly from: RowsDatabase;
  readonly to: RowsDatabase;
  readonly carries: (slot: number) => boolean;
  /** Rows still to be copied. */
  toCopy: readonly (readonly [number, string])[];
  readonly copies: number;
  /** Place in the publisher's log. */
  position: number;
  connected: boolean;
  broken: string | undefined;
}

export interface FakeTransfersOptions {
  readonly slots: number;
  readonly clock: Clock;
  /** Called before each step; throws to end the verb there. */
  readonly onStep?: (step: string) => void;
}

export class FakeTransfers {
  readonly slots: number;
  readonly #clock: Clock;
  /** Called before each step; throws to end the verb there. */
  onStep: (step: string) => void;
  readonly #databases = new Map<string, RowsDatabase>();
  readonly #streams = new Map<string, Stream>();
  /** What the checks before the start find. */
  findings: Finding[] = [];
  /** The next fences undo themselves, for these reasons. */
  undo: string[] = [];
  oldestTransactionSeconds = 0;
  /** What is left out, for twins of tests that must fail. */
  sabotage: 'comparing' | 'the decision record' | undefined;

  constructor({ slots, clock, onStep = () => undefined }: FakeTransfersOptions) {
    this.slots = slots;
    this.#clock = clock;
    this.onStep = onStep;
  }

  of(shard: string): RowsDatabase {
    const known = this.#databases.get(shard);
    if (known) return known;
    const fresh = new RowsDatabase(shard, this.slots);
    this.#databases.set(shard, fresh);
    return fresh;
  }

  get databases(): readonly RowsDatabase[] {
    return [...this.#databases.values()];
  }

  readonly open: OpenTransfer = (transfer, { source, target }) => {
    const found = {
      source: source && this.of(source.shard.metadata.name),
      target: target && this.of(target.shard.metadata.name),
    };
    for (const database of [found.source, found.target]) {
      if (database?.unreachable) {
        return Promise.reject(new UnreachableError(`no session with ${database.name}`));
      }
    }
    const inForce = {
      source: source && generationsOf(source.shard),
      target: target && generationsOf(target.shard),
    };
    return Promise.resolve(
      new FakeSession(this, transfer, found, inForce, this.#clock, step => this.onStep(step)),
    );
  };

  stream(id: string, direction: 'forward' | 'back'): Stream | undefined {
    return this.#streams.get(`${id}/${direction}`);
  }

  addStream(id: string, direction: 'forward' | 'back', stream: Stream): void {
    this.#streams.set(`${id}/${direction}`, stream);
  }

  dropStream(id: string, direction: 'forward' | 'back'): void {
    this.#streams.delete(`${id}/${direction}`);
  }

  /** Streams carry this many rows each; all that there are if absent. */
  flow(rows: number = Number.POSITIVE_INFINITY): void {
    for (const stream of this.#streams.values()) flow(stream, rows);
  }

  /** Every stream of a direction, or every one, loses its slot. */
  loseSlots(direction?: 'forward' | 'back'): void {
    for (const [name, stream] of this.#streams) {
      if (direction === undefined || name.endsWith(direction)) stream.broken ??= 'the slot is lost';
    }
  }

  connect(connected: boolean): void {
    for (const stream of this.#streams.values()) stream.connected = connected;
  }
}

function flow(stream: Stream, rows: number): void {
  if (!stream.connected || stream.broken !== undefined) return;
  let left = rows;
  while (left > 0 && stream.toCopy.length > 0) {
    const [first, ...rest] = stream.toCopy;
    if (first) stream.to.put({ id: first[0], value: first[1], replicated: true });
    stream.toCopy = rest;
    left--;
  }
  while (left > 0 && stream.toCopy.length === 0 && stream.position < stream.from.log.length) {
    const entry = stream.from.log[stream.position++];
    if (!entry || entry.replicated || !stream.carries(stream.from.slotOf(entry.id))) continue;
    stream.to.put({ ...entry, replicated: true });
    left--;
  }
}

function lagOf({ from, position, carries }: Stream): number {
  return from.log.slice(position).filter(({ id, replicated }) => !replicated && carries(from.slotOf(id)))
    .length;
}

/** Rows that one call of cleaning up deletes. */
const BATCH = 100;

class FakeSession implements TransferSession {
  readonly #world: FakeTransfers;
  readonly #transfer: Transfer;
  readonly #found: Readonly<Record<End, RowsDatabase | undefined>>;
  /** What each Shard was told to have open. */
  readonly #inForce: Readonly<Record<End, Record<Kind, number> | undefined>>;
  readonly #clock: Clock;
  readonly #step: (step: string) => void;

  constructor(
    world: FakeTransfers,
    transfer: Transfer,
    found: Readonly<Record<End, RowsDatabase | undefined>>,
    inForce: Readonly<Record<End, Record<Kind, number> | undefined>>,
    clock: Clock,
    step: (step: string) => void,
  ) {
    this.#world = world;
    this.#transfer = transfer;
    this.#found = found;
    this.#inForce = inForce;
    this.#clock = clock;
    this.#step = step;
  }

  async preflight() {
    const { rows } = this.#end('source');
    const moving = [...rows.keys()].filter(id => this.#moves(this.#end('source').slotOf(id)));
    return { findings: this.#world.findings, estimate: { rows: moving.length, bytes: moving.length * 100 } };
  }

  async observe(): Promise<TransferFacts> {
    const decision = this.#decision();
    const { forwardVerified } = this.#journal('target') ?? {};
    const { backVerified } = this.#journal('source') ?? {};
    return {
      ends: { source: this.#endFacts('source'), target: this.#endFacts('target') },
      forward: this.#streamFacts('forward'),
      back: this.#streamFacts('back'),
      verified: {
        ...(forwardVerified === undefined ? {} : { forward: forwardVerified }),
        ...(backVerified === undefined ? {} : { back: backVerified }),
      },
      writes: decision?.writes ?? 'source',
      ...(decision ? { decided: decision } : {}),
    };
  }

  async prepare(): Promise<void> {
    for (const side of ['target', 'source'] as const) {
      this.#step(`prepare ${side}`);
      const database = this.#end(side);
      if (database.journals.has(this.#transfer.id)) continue;
      database.journals.set(this.#transfer.id, {
        side,
        slots: slot => this.#moves(slot),
        closing: false,
        copied: false,
        visible: new Set(side === 'source' ? database.logins : []),
        ahead: new Set(),
        superseded: new Set(),
      });
    }
  }

  async startForward(): Promise<void> {
    const { id } = this.#transfer;
    if (this.#world.stream(id, 'forward')) return;
    const [from, to] = [this.#end('source'), this.#end('target')];
    const journal = this.#prepared('target');
    if (journal.copied) throw new ForbiddenVerbError('a copy was started over the left-overs of another');
    this.#step('start forward');
    const toCopy = [...from.rows].filter(([row]) => this.#moves(from.slotOf(row)));
    journal.copied = true;
    journal.forwardVerified = undefined;
    const carries = (slot: number) => this.#moves(slot);
    this.#world.addStream(id, 'forward', {
      from,
      to,
      carries,
      toCopy,
      copies: toCopy.length,
      position: from.log.length,
      connected: true,
      broken: undefined,
    });
  }

  async dropForward(): Promise<boolean> {
    if (this.#decision()) throw new ForbiddenVerbError('a copy was dropped after the cutover');
    this.#step('drop streams');
    this.#world.dropStream(this.#transfer.id, 'forward');
    this.#world.dropStream(this.#transfer.id, 'back');
    const journal = this.#prepared('target');
    journal.forwardVerified = undefined;
    if (!this.#deleteRows(this.#end('target'))) return false;
    this.#step('copy dropped');
    journal.copied = false;
    return true;
  }

  async startBack(): Promise<void> {
    const { id } = this.#transfer;
    if (this.#decision()) throw new ForbiddenVerbError('the stream back was made after the cutover');
    this.#step('start back');
    const [from, to] = [this.#end('target'), this.#end('source')];
    const carries = (slot: number) => this.#moves(slot);
    this.#world.addStream(id, 'back', {
      from,
      to,
      carries,
      toCopy: [],
      copies: 0,
      position: from.log.length,
      connected: true,
      broken: undefined,
    });
  }

  async verify(direction: 'forward' | 'back'): Promise<Verification> {
    this.#step(`verify ${direction}`);
    const stream = this.#world.stream(this.#transfer.id, direction);
    if (!stream || stream.toCopy.length > 0)
      throw new ForbiddenVerbError('compared before there was a stream');
    flow(stream, Number.POSITIVE_INFINITY);
    const [source, target] = [this.#end('source'), this.#end('target')];
    const ids = new Set([...source.rows.keys(), ...target.rows.keys()]);
    const moving = [...ids].filter(id => this.#moves(source.slotOf(id)));
    const differences = moving
      .filter(id => source.rows.get(id) !== target.rows.get(id))
      .map(id => `t ${id}: ${source.rows.get(id) ?? '(none)'} is ${target.rows.get(id) ?? '(none)'}`);
    if (differences.length === 0 || this.#world.sabotage === 'comparing') {
      const at = this.#clock.now().toISOString();
      if (direction === 'forward') this.#prepared('target').forwardVerified = at;
      else this.#prepared('source').backVerified = at;
    }
    return {
      matches: differences.length === 0 || this.#world.sabotage === 'comparing',
      rows: moving.length,
      differences: differences.slice(0, 3),
    };
  }

  async openReaders(change: Switch): Promise<void> {
    if (change.side !== 'read') throw new ForbiddenVerbError('readers were opened for writers');
    for (const end of [change.to, otherOf(change.to)]) {
      this.#step(`open readers ${end}`);
      this.#openAhead(end, 'read', change);
    }
  }

  async closeReaders(change: Switch): Promise<void> {
    const loser = otherOf(change.to);
    this.#step(`close readers ${loser}`);
    const losing = this.#end(loser);
    losing.floor.read = Math.max(losing.floor.read, change.generations[loser].to);
    for (const generation of losing.generations('read')) {
      if (generation < change.generations[loser].to) losing.closeLogin(login('read', generation));
    }
    this.#prepared(loser).ahead.delete(login('read', change.generations[loser].to));
    this.#step(`supersede readers ${change.to}`);
    const gaining = this.#end(change.to);
    gaining.floor.read = Math.max(gaining.floor.read, change.generations[change.to].to);
    this.#prepared(change.to).ahead.delete(login('read', change.generations[change.to].to));
  }

  async fence(change: Switch, _limits: FenceLimits, notice?: FenceNotice): Promise<FenceResult> {
    const { to, generations } = change;
    const loser = otherOf(to);
    const decided = this.#decision();
    if (decided?.writes === to) {
      this.#finishFence(to);
      return { kind: 'Fenced', stallMs: decided.stallMs, tries: 0 };
    }
    const [losing, gaining] = [this.#end(loser), this.#end(to)];
    if (this.#prepared(loser).closing) throw new ForbiddenVerbError('a fence while it was cleaned up');
    for (const end of [to, loser]) {
      this.#step(`open writers ${end}`);
      this.#openAhead(end, 'write', change);
    }
    this.#prepared('source').backVerified = undefined;
    await notice?.opened();
    const hindrance = await notice?.hindrance();
    try {
      losing.locked = true;
      this.#step('locked');
      const stream = this.#world.stream(this.#transfer.id, to === 'target' ? 'forward' : 'back');
      const reason =
        (hindrance === undefined ? this.#world.undo.shift() : 'Hindered') ??
        (stream?.connected && !stream.broken ? undefined : 'StreamBehind');
      if (reason !== undefined || !stream) {
        for (const end of ['source', 'target'] as const) {
          this.#end(end).closeLogin(login('write', generations[end].to));
        }
        return {
          kind: 'Undone',
          reason: reason ?? 'NoStream',
          message: hindrance ?? 'writes did not arrive in time',
        };
      }
      flow(stream, Number.POSITIVE_INFINITY);
      this.#step('arrived');
      losing.closeLogin(login('write', generations[loser].from));
      losing.floor.write = Math.max(losing.floor.write, generations[loser].to);
      const decision = {
        writes: to,
        at: this.#clock.now().toISOString(),
        stallMs: 7,
        generations: { source: generations.source.to, target: generations.target.to },
      };
      if (this.#world.sabotage !== 'the decision record') this.#prepared(loser).decision = decision;
    } finally {
      losing.locked = false;
    }
    gaining.floor.write = Math.max(gaining.floor.write, generations[to].to);
    this.#step('decided');
    this.#finishFence(to);
    return { kind: 'Fenced', stallMs: 7, tries: 1 };
  }

  async closeSuperseded(): Promise<number> {
    for (const end of ['source', 'target'] as const) {
      const journal = this.#journal(end);
      for (const name of journal?.superseded ?? []) {
        if (this.#newest(end, name) < 0) this.#end(end).closeLogin(name);
      }
    }
    return 0;
  }

  async cleanUp(loser: End | undefined): Promise<boolean> {
    const { id } = this.#transfer;
    const owner = this.#decision()?.writes ?? 'source';
    const journals = (['source', 'target'] as const).flatMap(end => this.#journal(end) ?? []);
    if (journals.length > 0 && loser === owner && this.#hasJournal(loser)) {
      throw new ForbiddenVerbError(`rows were to be deleted at the ${loser}, which has the writes`);
    }
    for (const journal of journals) journal.closing = true;
    this.#step('closing');
    for (const end of ['source', 'target'] as const) {
      const database = this.#found[end];
      const journal = this.#journal(end);
      if (!database || !journal) continue;
      for (const name of journal.superseded) if (this.#newest(end, name) < 0) database.closeLogin(name);
      for (const name of journal.ahead) if (this.#newest(end, name) > 0) database.closeLogin(name);
    }
    this.#world.dropStream(id, 'forward');
    this.#world.dropStream(id, 'back');
    this.#step('streams dropped');
    const losing = loser && this.#found[loser];
    if (losing && this.#hasJournal(loser) && !this.#deleteRows(losing)) return false;
    this.#step('rows deleted');
    for (const end of loser === 'source'
      ? (['target', 'source'] as const)
      : (['source', 'target'] as const)) {
      this.#found[end]?.journals.delete(id);
      this.#step(`cleaned ${end}`);
    }
    return true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** Older sessions of the loser end; the gainer's older logins may finish. */
  #finishFence(to: End): void {
    for (const end of ['source', 'target'] as const) {
      const journal = this.#prepared(end);
      for (const name of journal.ahead) if (name.startsWith('write')) journal.ahead.delete(name);
    }
    this.#step(`finished ${to}`);
  }

  #openAhead(end: End, kind: 'read' | 'write', { to, generations }: Switch): void {
    const database = this.#end(end);
    const journal = this.#prepared(end);
    const [before, after] = [login(kind, generations[end].from), login(kind, generations[end].to)];
    database.openLogin(after, before);
    if (end === to) {
      journal.visible.add(after);
      journal.superseded.add(before);
    } else {
      journal.visible.delete(after);
    }
    journal.ahead.add(after);
  }

  /** Below 0 for a login older than what is in force, above for one that is ahead of it. */
  #newest(end: End, name: string): number {
    const [kind = '', generation = ''] = name.split(' ');
    const side = kind === 'read' ? 'read' : 'write';
    return Number(generation) - Math.max(this.#end(end).floor[side], this.#inForce[end]?.[side] ?? 0);
  }

  #deleteRows(database: RowsDatabase): boolean {
    let left = BATCH;
    for (const id of database.rows.keys()) {
      if (!this.#moves(database.slotOf(id))) continue;
      if (left-- === 0) return false;
      database.put({ id, value: undefined, replicated: false });
    }
    return true;
  }

  #endFacts(end: End): EndFacts {
    const database = this.#end(end);
    const journal = this.#journal(end);
    const { id } = this.#transfer;
    const streams = (['forward', 'back'] as const).filter(direction => this.#world.stream(id, direction));
    return {
      prepared: journal !== undefined && !journal.closing,
      traces: [
        ...(journal ? [`journal ${id}`] : []),
        ...(journal ? streams.map(direction => `stream ${id} ${direction}`) : []),
      ],
      writers: database.generations('write'),
      readers: database.generations('read'),
      superseded: [...(journal?.superseded ?? [])].filter(name => this.#newest(end, name) < 0),
      oldestTransactionSeconds: this.#world.oldestTransactionSeconds,
      replicaLagBytes: 0,
    };
  }

  #streamFacts(direction: 'forward' | 'back'): StreamFacts {
    const stream = this.#world.stream(this.#transfer.id, direction);
    if (!stream) {
      return direction === 'forward' && this.#journal('target')?.copied
        ? { kind: 'Broken', reason: 'LeftOvers', message: 'rows of a copy that was dropped are still there' }
        : { kind: 'Absent' };
    }
    if (stream.broken !== undefined) return { kind: 'Broken', reason: 'SlotLost', message: stream.broken };
    if (stream.toCopy.length > 0) {
      const rowsDone = stream.copies - stream.toCopy.length;
      return {
        kind: 'Copying',
        rowsDone,
        rowsTotal: stream.copies,
        bytesDone: rowsDone * 100,
        bytesTotal: stream.copies * 100,
      };
    }
    return { kind: 'Streaming', lagBytes: lagOf(stream) * 100, connected: stream.connected };
  }

  /** The later of both ends' records stands. */
  #decision() {
    return (['source', 'target'] as const)
      .flatMap(end => this.#journal(end)?.decision ?? [])
      .toSorted((a, b) => b.generations.source - a.generations.source)[0];
  }

  /** A fleet by ranges of keys has the slot of a row as its key. */
  #moves(slot: number): boolean {
    const { partition } = this.#transfer;
    switch (partition.kind) {
      case 'slots':
        return partition.ranges.some(({ first, last }) => slot >= first && slot <= last);
      case 'keys':
        return partitionContains(partition, 'bigint', slot);
      case 'directory':
      case 'regions':
        return false;
      default:
        return assertNever(partition);
    }
  }

  #hasJournal(end: End): boolean {
    return this.#journal(end) !== undefined;
  }

  #journal(end: End): Journal | undefined {
    return this.#found[end]?.journals.get(this.#transfer.id);
  }

  #prepared(end: End): Journal {
    const journal = this.#journal(end);
    if (!journal) throw new NotPreparedError(`the transfer is not prepared at the ${end}`);
    return journal;
  }

  #end(end: End): RowsDatabase {
    const database = this.#found[end];
    if (!database) throw new NotPreparedError(`the ${end} is gone`);
    return database;
  }
}

class NotPreparedError extends EngineError {
  override readonly name = 'NotPreparedError';
  readonly code = 'WrongMoment';
  readonly remedy = 'Observe again.';
  override readonly retryable = true;
}

function otherOf(end: End): End {
  return end === 'source' ? 'target' : 'source';
}

function generationsOf({ spec }: Shard): Record<Kind, number> {
  return { write: spec.generation, read: spec.readerGeneration };
}
