/**
 * One client's stream of map changes. At most one event is buffered: while a client has not read it, later changes are
 * not queued but folded into the next delta. A client that does not read for `patienceMs` is dropped.
 */
import type { Clock } from '#kernel/clock.ts';
import { nothingComing } from '#sharding/coming.ts';
import type { Fleet } from './handle.ts';
import { deltaFor } from './handle.ts';
import type { MapPages } from './map-pages.ts';
import type { Snapshot, Snapshots } from './snapshots.ts';

/** The writing half of a connection. */
export interface Sink {
  /** False when the bytes had to be buffered; `drained` is called once they are gone. */
  write(text: string): boolean;
  onDrained(drained: () => void): void;
  end(): void;
  destroy(): void;
}

export interface StreamOptions {
  readonly store: MapPages;
  readonly snapshots: Snapshots;
  readonly clock: Clock;
  readonly heartbeatMs: number;
  readonly patienceMs: number;
}

export class EventStream implements Disposable {
  readonly #fleet: Fleet;
  readonly #sink: Sink;
  readonly #options: StreamOptions;
  readonly #unsubscribe: () => void;
  #since: number;
  #sentDigest: string | undefined;
  #sentComing = nothingComing;
  #stalledAtMs: number | undefined;
  #heartbeat: Disposable | undefined;
  #closed = false;

  constructor(fleet: Fleet, since: number, sink: Sink, options: StreamOptions) {
    this.#fleet = fleet;
    this.#since = since;
    this.#sink = sink;
    this.#options = options;
    this.#unsubscribe = options.store.subscribe(fleet.namespace, fleet.cluster, () => this.#advance());
    sink.onDrained(() => {
      this.#stalledAtMs = undefined;
      this.#advance();
    });
    this.#beat();
    this.#advance();
  }

  /** Sends what the client lacks, if it can take it now. */
  #advance(): void {
    if (this.#closed || this.#stalledAtMs !== undefined) return;
    const lookup = this.#options.snapshots.get(this.#fleet.namespace, this.#fleet.cluster);
    if (lookup.kind === 'broken') return;
    // The fleet is gone. Its clients ask again, and get a 404 until it is back.
    if (lookup.kind === 'none') return this.end();
    this.#advanceMap(lookup.snapshot);
    this.#announce();
  }

  #advanceMap(snapshot: Snapshot): void {
    if (snapshot.digest === this.#sentDigest) return;
    const delta = deltaFor(snapshot, this.#since);
    this.#since = snapshot.epoch;
    this.#sentDigest = snapshot.digest;
    this.#write(`id: ${snapshot.epoch}\nevent: map\ndata: ${JSON.stringify(delta)}\n\n`);
  }

  /** After the map: a client that has the next one already needs no warning of it. */
  #announce(): void {
    const coming = this.#options.store.coming(this.#fleet.namespace, this.#fleet.cluster);
    if (coming === this.#sentComing || this.#stalledAtMs !== undefined) return;
    this.#sentComing = coming;
    this.#write(`event: coming\ndata: ${JSON.stringify(coming)}\n\n`);
  }

  #write(text: string): void {
    if (!this.#sink.write(text)) this.#stalledAtMs = this.#options.clock.monotonicMs();
  }

  /** A comment now and then shows both sides that the other is alive. */
  #beat(): void {
    const { clock, heartbeatMs, patienceMs } = this.#options;
    this.#heartbeat = clock.after(heartbeatMs, () => {
      if (this.#closed) return;
      if (this.#stalledAtMs === undefined) this.#write(': alive\n\n');
      else if (clock.monotonicMs() - this.#stalledAtMs >= patienceMs) {
        this[Symbol.dispose]();
        this.#sink.destroy();
        return;
      }
      this.#beat();
    });
  }

  /** Ends the stream politely; the client reconnects. */
  end(): void {
    if (this.#closed) return;
    this[Symbol.dispose]();
    this.#sink.end();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#heartbeat?.[Symbol.dispose]();
    this.#unsubscribe();
  }
}
