/** How long calls took: percentiles of the usual, and the slowest of every second by themselves. Milliseconds throughout. */

export interface Call {
  readonly kind: string;
  /** Since the epoch. */
  readonly startedMs: number;
  readonly tookMs: number;
  /** Times that the client library tried again. */
  readonly retries: number;
}

export interface Usual {
  readonly calls: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** `of` 0 to 1; the value that so many of the sorted values do not exceed. NaN of nothing. */
export function percentile(sorted: readonly number[], of: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * of) - 1)] ?? Number.NaN;
}

export function usualOf(values: readonly number[]): Usual {
  const sorted = values.toSorted((a, b) => a - b);
  const [p50, p99] = [percentile(sorted, 0.5), percentile(sorted, 0.99)];
  return { calls: sorted.length, p50: tenth(p50), p99: tenth(p99), max: tenth(sorted.at(-1) ?? Number.NaN) };
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Keeps every duration and hands on the calls that stand out: those that were tried again, and the slowest of each second. */
export class Latencies {
  readonly #byKind = new Map<string, number[]>();
  readonly #slowestPerSecond: number;
  readonly #tell: (call: Call) => void;
  #second = 0;
  #slowest: Call[] = [];

  constructor(slowestPerSecond: number, tell: (call: Call) => void) {
    this.#slowestPerSecond = slowestPerSecond;
    this.#tell = tell;
  }

  add(call: Call): void {
    const durations = this.#byKind.get(call.kind);
    if (durations === undefined) this.#byKind.set(call.kind, [call.tookMs]);
    else durations.push(call.tookMs);
    const second = Math.floor((call.startedMs + call.tookMs) / 1000);
    if (second !== this.#second) this.flush();
    this.#second = second;
    if (call.retries > 0) this.#tell(call);
    else this.#slowest.push(call);
  }

  /** Hands on what is left of the present second. */
  flush(): void {
    const slowest = this.#slowest.toSorted((a, b) => b.tookMs - a.tookMs).slice(0, this.#slowestPerSecond);
    this.#slowest = [];
    for (const call of slowest) this.#tell(call);
  }

  get usual(): Readonly<Record<string, Usual>> {
    return Object.fromEntries([...this.#byKind].map(([kind, values]) => [kind, usualOf(values)]));
  }

  get total(): Usual {
    return this.of(() => true);
  }

  /** Of all calls of some kinds. */
  of(wanted: (kind: string) => boolean): Usual {
    return usualOf([...this.#byKind].flatMap(([kind, values]) => (wanted(kind) ? values : [])));
  }
}

/**
 * The longest time that a call waited beyond the usual of its kind (p50), of the calls that were under way between two
 * moments. 0 when none waited longer.
 */
export function stallBetween(
  calls: readonly Call[],
  usual: Readonly<Record<string, Usual>>,
  fromMs: number,
  toMs: number,
): number {
  const waits = calls
    .filter(({ startedMs, tookMs }) => startedMs <= toMs && startedMs + tookMs >= fromMs)
    .map(({ kind, tookMs }) => tookMs - (usual[kind]?.p50 ?? 0));
  return Math.max(0, ...waits);
}
