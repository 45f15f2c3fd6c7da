/**
 * After the cutover: rows are compared once more, then changes flow back for as long as a person may want to roll back. Nothing is
 * cleaned up before that comparison has passed. Pure.
 */
import { durationMs } from '#controllers/duration.ts';
import { annotations } from '#crds/api/names.ts';
import { wantedBy } from './busy.ts';
import { act, type Decision, FAST_MS, SLOW_MS, stalled, wait } from './decision.ts';
import { type Known, type MigrationFacts, nameOf } from './facts.ts';
import { comparing } from './verification.ts';

const CLOSING_MS = 5000;

export function decideKeeping(facts: MigrationFacts, known: readonly Known[], now: Date): Decision {
  const unverified = known.filter(({ transfer }) => transfer.verified.back === undefined);
  const lost = unverified.find(({ transfer: { back } }) => back.kind === 'Absent' || back.kind === 'Broken');
  if (lost) {
    return wantsFinish(facts)
      ? close('finished by a person, without a second comparison: the stream back was lost')
      : stalled(
          'BackStreamLost',
          `${nameOf(lost.view)}: the stream back is lost, so rows cannot be compared again nor rolled back: annotate this ShardMigration with ${annotations.finish}=now to clean up all the same`,
        );
  }
  const compares = comparing(facts, unverified, 'back', now);
  if (compares) return compares;
  const until = keptUntil(facts, known);
  const why = whyOver(facts, until, now);
  if (why !== undefined) return close(why);
  const superseded = known.filter(({ transfer: { ends } }) =>
    [...ends.source.superseded, ...ends.target.superseded].some(() => true),
  );
  const leftMs = until.getTime() - now.getTime();
  const message = `writes have switched; it can be rolled back until ${until.toISOString()}: set spec.abort for that, or annotate with ${annotations.finish}=now to finish`;
  return {
    ...wait(
      'RollbackKept',
      message,
      Math.max(FAST_MS, Math.min(leftMs, superseded.length > 0 ? CLOSING_MS : SLOW_MS)),
    ),
    settled: true,
    meanwhile: superseded.map(({ view }) => ({ kind: 'CloseSuperseded', transfer: view.plan.id })),
  };
}

/** Until when it can be rolled back, counted from the last decision. */
export function keptUntil({ migration, status }: MigrationFacts, known: readonly Known[]): Date {
  const times = known.map(({ transfer }) => Date.parse(transfer.decided?.at ?? status.cutover?.time ?? ''));
  const last = Math.max(0, ...times.filter(time => !Number.isNaN(time)));
  return new Date(last + durationMs(migration.spec.rollbackWindow));
}

export function wantsFinish({ migration }: MigrationFacts): boolean {
  return Boolean(migration.metadata.annotations?.[annotations.finish]);
}

/** Why the way back is given up now; undefined while it is kept. */
function whyOver(facts: MigrationFacts, until: Date, now: Date): string | undefined {
  const { migration, transfers, shards } = facts;
  if (wantsFinish(facts)) return `finished by the annotation ${annotations.finish}`;
  if (migration.metadata.deletionTimestamp !== undefined) return 'finished by deleting the ShardMigration';
  if (now >= until) return `spec.rollbackWindow of ${migration.spec.rollbackWindow} is over`;
  const other = wantedBy(facts);
  if (other) return `ShardMigration ${other.name} wants one of the shards`;
  const pending = transfers
    .flatMap(({ plan }) => [plan.source, plan.target])
    .find(name => shards.get(name)?.schemaPending);
  return pending === undefined ? undefined : `a change of spec.schema waits for ${pending}`;
}

function close(why: string): Decision {
  return act('Closing', `cleaning up: ${why}`, { kind: 'Close', ending: 'Completed', why });
}
