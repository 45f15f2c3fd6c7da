/**
 * Kubernetes events (events.k8s.io/v1) for what people should notice: transitions, not states. Emitting never waits and
 * never throws; what comes too fast or cannot be written is dropped and counted. The same event within ten minutes
 * raises the count of the first instead of making a second.
 */
import { randomBytes } from 'node:crypto';
import { type Clock, realClock } from '#kernel/clock.ts';
import { type Condition, transitions } from '#kernel/conditions.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { Log } from '#kernel/log.ts';
import type { Metrics } from '#kernel/metrics.ts';
import type { KubeObject } from '#kernel/object.ts';
import { Events } from '#kernel/resources.ts';

export interface EventInput {
  readonly regarding: KubeObject;
  readonly type: 'Normal' | 'Warning';
  /** CamelCase: why. */
  readonly reason: string;
  /** CamelCase: what was done or found, e.g. `Switchover`. */
  readonly action: string;
  /** For people; cut at 1,024 characters. */
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly client: KubeClient;
  /** As in `shardwright.io/shard-controller`. */
  readonly controller: string;
  /** Name of the pod. */
  readonly instance: string;
  readonly log: Log;
  readonly metrics?: Metrics;
  readonly clock?: Clock;
}

interface Series {
  readonly name: string;
  readonly namespace: string;
  readonly since: number;
  count: number;
  queued: boolean;
}

const sameWithinMs = 600_000;
const maxRemembered = 4096;
const maxWaiting = 256;
const writeDeadlineMs = 5000;
const maxNote = 1024;

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #series = new Map<string, Series>();
  readonly #waiting: (() => Promise<unknown>)[] = [];
  #sending: Promise<void> | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? realClock;
  }

  emit(input: EventInput): void {
    const { regarding, type, reason, action, note } = input;
    const id = [regarding.metadata.uid, regarding.kind, regarding.metadata.name, type, reason, note].join(
      '\n',
    );
    const now = this.#clock.monotonicMs();
    const series = this.#series.get(id);
    if (series && now - series.since < sameWithinMs) {
      this.#count(series);
      return;
    }
    const namespace = regarding.metadata.namespace ?? 'default';
    const name = `${regarding.metadata.name.slice(0, 200)}.${randomBytes(6).toString('hex')}`;
    const { apiVersion, kind, metadata } = regarding;
    const queued = this.#enqueue(() =>
      this.#options.client.create(
        {
          apiVersion: Events.apiVersion,
          kind: Events.kind,
          metadata: { name, namespace },
          eventTime: microTime(this.#clock.now()),
          reportingController: this.#options.controller,
          reportingInstance: this.#options.instance.slice(0, 128),
          type,
          reason,
          action,
          note: note.slice(0, maxNote),
          regarding: {
            apiVersion,
            kind,
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            resourceVersion: metadata.resourceVersion,
          },
        },
        { deadlineMs: writeDeadlineMs },
      ),
    );
    if (!queued) return;
    this.#series.delete(id);
    this.#series.set(id, { name, namespace, since: now, count: 1, queued: false });
    if (this.#series.size > maxRemembered) {
      for (const oldest of this.#series.keys()) {
        this.#series.delete(oldest);
        break;
      }
    }
  }

  /**
   * One event for each condition whose status has changed; abnormal ones are warnings. That a new object is not ready yet and
   * is worked on goes without saying.
   */
  conditionsChanged(regarding: KubeObject, before: readonly Condition[], after: readonly Condition[]): void {
    for (const { type, status, reason, message } of transitions(before, after)) {
      const holds = status === 'True';
      // A condition that ends has nothing to say; Ready turning true says it.
      if (!holds && type !== 'Ready') continue;
      const bad = type === 'Stalled' || (type === 'Ready' && !holds);
      const isNew = !before.some(each => each.type === type);
      if (isNew && (type === 'Reconciling' || (type === 'Ready' && !holds))) continue;
      this.emit({
        regarding,
        type: bad ? 'Warning' : 'Normal',
        reason,
        action: holds ? type : `Not${type}`,
        note: message || reason,
      });
    }
  }

  /** Resolves when everything emitted so far is written or dropped. */
  async flush(): Promise<void> {
    await this.#sending;
  }

  #count(series: Series): void {
    series.count++;
    if (series.queued) return;
    // Before enqueueing: the write may begin at once.
    series.queued = true;
    const queued = this.#enqueue(() => {
      series.queued = false;
      const { name, namespace, count } = series;
      const body = { series: { count, lastObservedTime: microTime(this.#clock.now()) } };
      return this.#options.client.patch(
        Events,
        { namespace, name },
        { type: 'merge', body },
        { deadlineMs: writeDeadlineMs },
      );
    });
    if (!queued) series.queued = false;
  }

  #enqueue(write: () => Promise<unknown>): boolean {
    if (this.#waiting.length >= maxWaiting) {
      this.#options.metrics?.eventsDropped.inc({ reason: 'full' });
      return false;
    }
    this.#waiting.push(write);
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
    return true;
  }

  async #send(): Promise<void> {
    for (let write = this.#waiting.shift(); write; write = this.#waiting.shift()) {
      try {
        await write();
      } catch (error) {
        this.#options.metrics?.eventsDropped.inc({ reason: 'failed' });
        this.#options.log.debug({ err: error }, 'dropping an event that could not be written');
      }
    }
  }
}

/** As the API writes it: microseconds. */
export function microTime(date: Date): string {
  return date.toISOString().replace(/\.(\d{3})Z$/, '.$1000Z');
}
