/** What was lost with a shard, by a probe that wrote until then and by what came back. Pure. */
import type { ProbeRecord } from './records.ts';

export interface Loss {
  /** Inserts that were acknowledged, and how many of them did not come back. */
  readonly acknowledged: number;
  readonly lost: number;
  /** Age, when the shard was lost, of the oldest of these; 0 when there are none. */
  readonly trueLossSeconds: number;
  /** Those that were older than the shard's status said of any that could be lost. */
  readonly lostBeyondDeclared: number;
}

/** `present`: ids that came back. `lostAtMs`: a moment before the shard was lost, when its status said `declaredSeconds`. */
export function lossOf(
  records: readonly ProbeRecord[],
  present: Pick<ReadonlySet<number>, 'has'>,
  lostAtMs: number,
  declaredSeconds: number,
): Loss {
  const acknowledged = records.filter(record => record.type === 'ack');
  const ages = acknowledged
    .filter(({ id }) => !present.has(id))
    .map(({ endedMs }) => Math.max(0, lostAtMs - endedMs) / 1000);
  return {
    acknowledged: acknowledged.length,
    lost: ages.length,
    trueLossSeconds: Math.max(0, ...ages),
    lostBeyondDeclared: ages.filter(age => age > declaredSeconds).length,
  };
}
