/** Measured progress, and the phases that were gone through with their times and rates. Pure. */
import type {
  MigrationPhase,
  MigrationPhaseStatus,
  ShardMigrationStatus,
} from '#crds/api/migration/status.ts';
import { timestamp } from '#kernel/conditions.ts';
import type { Known } from './facts.ts';
import { PHASES } from './phase.ts';

type Progress = NonNullable<ShardMigrationStatus['progress']>;

/** Summed up over the transfers; what nobody speaks of any more stays as it was. Undefined when there is nothing to say. */
export function progressOf(known: readonly Known[], before: Progress = {}): Progress | undefined {
  const sum = { rowsCopied: 0, rowsTotal: 0, bytesCopied: 0, bytesTotal: 0 };
  let lagBytes: number | undefined;
  let copying = 0;
  for (const { view, transfer } of known) {
    // What flows is counted on the stream that leads.
    const stream = view.owners?.write === 'target' ? transfer.back : transfer.forward;
    if (stream.kind === 'Streaming') lagBytes = (lagBytes ?? 0) + Math.round(stream.lagBytes);
    if (stream.kind !== 'Copying') continue;
    copying++;
    sum.rowsCopied += Math.round(stream.rowsDone);
    sum.rowsTotal += Math.round(Math.max(stream.rowsTotal, stream.rowsDone));
    sum.bytesCopied += Math.round(stream.bytesDone);
    sum.bytesTotal += Math.round(Math.max(stream.bytesTotal, stream.bytesDone));
  }
  const { lagBytes: _lag, ...last } = before;
  const copied =
    copying > 0 ? { ...sum, percent: percentOf(sum) } : lagBytes === undefined ? last : whole(last);
  const progress = { ...copied, ...(lagBytes === undefined ? {} : { lagBytes }) };
  // A server-side apply makes null of a map that becomes empty.
  return Object.keys(progress).length > 0 ? progress : undefined;
}

/** What streams has been copied to the end. */
function whole(copied: Progress): Progress {
  const { rowsTotal, bytesTotal } = copied;
  if (rowsTotal === undefined || bytesTotal === undefined) return copied;
  return { rowsTotal, rowsCopied: rowsTotal, bytesTotal, bytesCopied: bytesTotal, percent: 100 };
}

function percentOf({
  rowsCopied,
  rowsTotal,
  bytesCopied,
  bytesTotal,
}: {
  rowsCopied: number;
  rowsTotal: number;
  bytesCopied: number;
  bytesTotal: number;
}): number {
  const share = bytesTotal > 0 ? bytesCopied / bytesTotal : rowsTotal > 0 ? rowsCopied / rowsTotal : 0;
  return Math.max(0, Math.min(99, Math.floor(share * 100)));
}

/** The list with the phase as the one under way: earlier ones have ended, later ones are forgotten when it goes back. */
export function withPhase(
  before: readonly MigrationPhaseStatus[],
  phase: MigrationPhase,
  progress: Progress | undefined,
  now: Date,
): MigrationPhaseStatus[] {
  const time = timestamp(now);
  const place = PHASES.findIndex(name => name === phase);
  // Pending needs no line; an ending closes the last one.
  if (place < 0) return before.map(entry => ended(entry, time));
  const earlier = before.filter(({ name }) => {
    const at = PHASES.findIndex(each => each === name);
    return at >= 0 && at < place;
  });
  if (phase === 'Pending') return [];
  const entry = before.find(({ name }) => name === phase) ?? { name: phase, startTime: time };
  const { endTime: _again, ...open } = entry;
  return [...earlier.map(each => ended(each, time)), { ...open, ...measured(open, progress, now) }];
}

function ended(entry: MigrationPhaseStatus, time: string): MigrationPhaseStatus {
  const { secondsLeft: _left, ...rest } = entry;
  return rest.endTime === undefined ? { ...rest, endTime: time } : rest;
}

function measured(
  { startTime, name }: MigrationPhaseStatus,
  progress: Progress | undefined,
  now: Date,
): Partial<MigrationPhaseStatus> {
  const lag = progress?.lagBytes === undefined ? {} : { lagBytes: progress.lagBytes };
  if (name !== 'BulkCopy' || !progress) return lag;
  const { rowsCopied, bytesCopied, bytesTotal } = progress;
  if (rowsCopied === undefined || bytesCopied === undefined) return lag;
  const seconds = Math.max(1, (now.getTime() - Date.parse(startTime)) / 1000);
  const bytesPerSecond = Math.round(bytesCopied / seconds);
  return {
    rows: rowsCopied,
    bytes: bytesCopied,
    rowsPerSecond: Math.round(rowsCopied / seconds),
    bytesPerSecond,
    ...(bytesPerSecond > 0 && bytesTotal !== undefined
      ? { secondsLeft: Math.ceil(Math.max(0, bytesTotal - bytesCopied) / bytesPerSecond) }
      : {}),
  };
}
