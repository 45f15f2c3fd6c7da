/** Checks of the room that two streams need: slots, senders and workers; and of what they are safe with. */
import type { End } from '#engines/migration.ts';
import { at, bothEnds, type Check, type Context, caution, failure } from './check.ts';

/** Tables that are copied at the same time take a slot, a sender and a worker each for as long. */
export const slotHeadroom: Check = context =>
  headroom(context, 'SlotHeadroom', 'max_replication_slots', ({ server }) => server.slots);
export const senderHeadroom: Check = context =>
  headroom(context, 'SenderHeadroom', 'max_wal_senders', ({ server }) => server.senders);

function headroom(
  context: Context,
  check: string,
  setting: string,
  of: (facts: Context['facts']['source']) => { readonly max: number; readonly used: number },
): ReturnType<Check> {
  return bothEnds.flatMap(end => {
    const { max, used } = of(context.facts[end]);
    return shortage(context, check, setting, end, max - used);
  });
}

export const workerHeadroom: Check = context =>
  bothEnds.flatMap(end => {
    const { max, used, syncPerSubscription } = context.facts[end].server.workers;
    const found = shortage(context, 'WorkerHeadroom', 'max_logical_replication_workers', end, max - used);
    if (end === 'source' || syncPerSubscription > 0) return found;
    return [
      ...found,
      failure(
        'WorkerHeadroom',
        `max_sync_workers_per_subscription of ${at(context, end)} is 0: nothing would be copied`,
        'Set it to 2 or more in spec.engine.parameters.',
      ),
    ];
  });

/** The stream itself, and a copy of each table at a time: at the source they are read, at the target written. */
function shortage(
  context: Context,
  check: string,
  setting: string,
  end: End,
  free: number,
): ReturnType<Check> {
  const copies = Math.min(
    context.transfer.tables.length,
    context.facts.target.server.workers.syncPerSubscription,
  );
  // The back stream copies nothing: it needs a worker at the source, a slot and a sender at the target.
  const copying = check === 'WorkerHeadroom' ? end === 'target' : true;
  const best = copying ? 1 + copies : 1;
  const least = copying ? 2 : 1;
  if (free >= best) return [];
  const message = `${at(context, end)} has ${Math.max(free, 0)} of ${setting} left; a migration takes ${best}`;
  const remedy = `Raise ${setting} in spec.engine.parameters, or wait for other migrations to end.`;
  return [
    free < least
      ? failure(check, message, remedy)
      : caution(check, `${message} to copy at full speed`, remedy),
  ];
}

/** Streams run no further than the replicas; without one, a fail-over may lose the stream. */
export const synchronousStandbyMissing: Check = context =>
  bothEnds.flatMap(end => {
    const { consistency, members } = context.shards[end].spec;
    if (consistency !== 'strong' || members < 2 || context.facts[end].server.synchronousStandbys > 0)
      return [];
    return [
      caution(
        'SynchronousStandbyMissing',
        `${at(context, end)} has no synchronous replica at present`,
        'Wait until a replica is ready: losing the primary now would mean to copy again.',
      ),
    ];
  });
