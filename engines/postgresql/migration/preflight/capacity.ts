/** Checks of the room on the target's volume. */
import { quantityBytes } from '../../quantity.ts';
import { at, type Check, type Context, caution, failure } from './check.ts';

/** Share of what is needed to add for what was estimated too low. */
const RESERVE = 0.1;

/** Writing rows writes as much log, of which the server keeps up to max_wal_size. */
function bytesNeeded({ estimate, facts }: Context): number {
  return estimate.totalBytes + Math.min(estimate.totalBytes, facts.target.server.maxWalBytes);
}

export const targetDisk: Check = context => {
  const { freeBytes } = context.facts.target;
  const what = at(context, 'target');
  if (freeBytes === undefined)
    return [
      caution(
        'TargetDisk',
        `the free space of ${what} could not be read`,
        `Make sure that there are ${megabytes(bytesNeeded(context))} left on its volume.`,
      ),
    ];
  if (bytesNeeded(context) * (1 + RESERVE) <= freeBytes) return [];
  return [
    failure(
      'TargetDisk',
      `${what} has ${megabytes(freeBytes)} left on its volume; the move needs about ${megabytes(bytesNeeded(context) * (1 + RESERVE))}`,
      'Enlarge spec.storage.size where the storage class allows it, move less, or move to a shard with larger volumes.',
    ),
  ];
};

/** What was asked for, where volumes are not kept to their size. */
export const targetTooSmall: Check = context => {
  const { size } = context.shards.target.spec.storage;
  const room = quantityBytes(size);
  const needed = (context.facts.target.server.databaseBytes + bytesNeeded(context)) * (1 + RESERVE);
  if (room === undefined || needed <= room) return [];
  return [
    failure(
      'TargetTooSmall',
      `${at(context, 'target')} has volumes of ${size}; with what moves it needs about ${megabytes(needed)}`,
      'Set a larger spec.storage.size first.',
    ),
  ];
};

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MB`;
}
