/**
 * Judges a probe's log: for how long nobody could write, whether an acknowledged insert is gone, and whether a primary went
 * on acknowledging after another had taken its place.
 */
import type { Acknowledged, ProbeRecord } from './records.ts';

export interface ProbeReport {
  readonly acknowledged: number;
  readonly failed: number;
  /** Longest time between two acknowledged inserts, in ms; what came after the last one counts until the probe stopped. */
  readonly longestGapMs: number;
  /** Acknowledged, and not in the table at the end. Undefined when the probe could not read the table. */
  readonly missing: readonly number[] | undefined;
  readonly oldTimelineAcks: readonly Acknowledged[];
  readonly timelines: readonly number[];
  /** Attempts that were answered with an error, or cut off: not those that a busy machine let run into their time-out. */
  readonly refused: number;
  /** How often each error came, most frequent first. */
  readonly errors: readonly (readonly [message: string, count: number])[];
}

export function reportOf(records: readonly ProbeRecord[]): ProbeReport {
  const acks = acknowledgedOf(records);
  const failures = records.filter(record => record.type === 'fail');
  return {
    acknowledged: acks.length,
    failed: failures.length,
    refused: failures.filter(({ message }) => !/time-?out/i.test(message)).length,
    longestGapMs: longestGap(records),
    missing: missingOf(records),
    oldTimelineAcks: oldTimelineAcks(records),
    timelines: [...new Set(acks.map(ack => ack.timeline))].toSorted((a, b) => a - b),
    errors: tally(failures.map(failure => failure.message)),
  };
}

/**
 * Longest time without an acknowledged insert within a window, in ms: from the last one before it, to the first one after its
 * begin or, where there is none, to the end of what was recorded.
 */
export function longestGap(
  records: readonly ProbeRecord[],
  window: { readonly fromMs?: number; readonly toMs?: number } = {},
): number {
  const { fromMs = -Infinity, toMs = Infinity } = window;
  const moments = acknowledgedOf(records)
    .map(ack => ack.endedMs)
    .toSorted((a, b) => a - b);
  const stoppedMs = records.find(record => record.type === 'stopped')?.atMs;
  if (stoppedMs !== undefined) moments.push(stoppedMs);
  let longest = 0;
  for (let index = 1; index < moments.length; index++) {
    const [before, after] = [moments[index - 1] ?? 0, moments[index] ?? 0];
    if (after >= fromMs && before <= toMs) longest = Math.max(longest, after - before);
  }
  return longest;
}

export function missingOf(records: readonly ProbeRecord[]): number[] | undefined {
  const stored = records.find(record => record.type === 'stored');
  if (!stored) return undefined;
  const present = new Set<number>();
  for (const [from, to] of stored.ranges) for (let id = from; id <= to; id++) present.add(id);
  return acknowledgedOf(records)
    .map(ack => ack.id)
    .filter(id => !present.has(id));
}

/** Acknowledgements on a timeline of inserts that began after a later timeline had acknowledged one. */
export function oldTimelineAcks(records: readonly ProbeRecord[]): Acknowledged[] {
  const acks = acknowledgedOf(records);
  const firstOn = new Map<number, number>();
  for (const ack of acks) {
    firstOn.set(ack.timeline, Math.min(ack.endedMs, firstOn.get(ack.timeline) ?? Infinity));
  }
  return acks.filter(ack =>
    [...firstOn].some(([timeline, firstMs]) => timeline > ack.timeline && firstMs < ack.startedMs),
  );
}

function acknowledgedOf(records: readonly ProbeRecord[]): Acknowledged[] {
  return records.filter(record => record.type === 'ack');
}

function tally(messages: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const message of messages) counts.set(message, (counts.get(message) ?? 0) + 1);
  return [...counts].toSorted((a, b) => b[1] - a[1]);
}

/** Whether a primary and its successor have acknowledged inserts. */
export function hasSuccessor(records: readonly ProbeRecord[]): boolean {
  const servers = records.flatMap(record => (record.type === 'ack' ? [record.serverStartedMs] : []));
  return new Set(servers).size > 1;
}
