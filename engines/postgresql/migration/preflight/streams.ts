/** Checks of the room that two streams need: slots, origins, senders and workers; and of what they are safe with. */
import type { End } from '#engines/migration.ts';
import { at, bothEnds, type Check, type Context, caution, failure } from './check.ts';

/** Left to others by the copier, which then makes do with one session (images/postgres/copier.py). */
export const RESERVED_ORIGINS = 4;

interface Need {
  /** Below this it would not get on. */
  readonly least: number;
  /** For a copy at full speed. */
  readonly best: number;
}

interface Room {
  readonly check: string;
  readonly setting: string;
  /** Of which there are so many left, in words. */
  readonly left: string;
  readonly free: number;
  readonly need: Need;
}

/** The server bounds what it streams and what it follows by one setting, each by itself: slots at one end, origins at the other. */
export const slotHeadroom: Check = context => {
  const setting = 'max_replication_slots';
  return bothEnds.flatMap(end => {
    const { slots, origins } = context.facts[end].server;
    const common = { check: 'SlotHeadroom', setting };
    return [
      ...shortage(context, end, {
        ...common,
        left: setting,
        free: slots.max - slots.used,
        need: withCopies(context),
      }),
      ...shortage(context, end, {
        ...common,
        left: `the replication origins that ${setting} allows`,
        free: origins.max - origins.used,
        need: end === 'target' ? originsOfCopy(context) : streamOnly,
      }),
    ];
  });
};

export const senderHeadroom: Check = context => {
  const setting = 'max_wal_senders';
  return bothEnds.flatMap(end => {
    const { max, used } = context.facts[end].server.senders;
    const need = withCopies(context);
    return shortage(context, end, {
      check: 'SenderHeadroom',
      setting,
      left: setting,
      free: max - used,
      need,
    });
  });
};

export const workerHeadroom: Check = context =>
  bothEnds.flatMap(end => {
    const { max, used, syncPerSubscription } = context.facts[end].server.workers;
    const [check, setting] = ['WorkerHeadroom', 'max_logical_replication_workers'];
    // The back stream copies nothing.
    const need = end === 'target' ? withCopies(context) : streamOnly;
    const found = shortage(context, end, { check, setting, left: setting, free: max - used, need });
    if (end === 'source' || syncPerSubscription > 0 || context.transfer.pace) return found;
    return [
      ...found,
      failure(
        'WorkerHeadroom',
        `max_sync_workers_per_subscription of ${at(context, end)} is 0: nothing would be copied`,
        'Set it to 2 or more in spec.engine.parameters.',
      ),
    ];
  });

const streamOnly: Need = { least: 1, best: 1 };

/** Tables that the database copies at the same time take a slot, a sender, an origin and a worker each for as long; the copier none but origins. */
function withCopies({ transfer, facts }: Context): Need {
  if (transfer.pace) return streamOnly;
  return {
    least: 2,
    best: 1 + Math.min(transfer.tables.length, facts.target.server.workers.syncPerSubscription),
  };
}

/** The copier's first session takes an origin in any case, the others leave some to others. */
function originsOfCopy(context: Context): Need {
  const { pace } = context.transfer;
  if (!pace) return withCopies(context);
  return { least: 2, best: 1 + pace.parallel + (pace.parallel > 1 ? RESERVED_ORIGINS : 0) };
}

function shortage(context: Context, end: End, { check, setting, left, free, need }: Room): ReturnType<Check> {
  if (free >= need.best) return [];
  const message = `${at(context, end)} has ${Math.max(free, 0)} of ${left} left; a migration takes ${need.best}`;
  const raise = `Raise ${setting} in spec.engine.parameters`;
  const wait = 'wait for other migrations to end';
  if (free < need.least) return [failure(check, message, `${raise}, or ${wait}.`)];
  const fewer = context.transfer.pace ? ' lower spec.pace.parallel,' : '';
  return [caution(check, `${message} to copy at full speed`, `${raise},${fewer} or ${wait}.`)];
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
