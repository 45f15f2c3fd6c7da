/** What is written into a ShardMigration's status: from the facts and the decision alone. Pure. */
import type { WantedCondition } from '#controllers/conditions.ts';
import type { MigrationPhase, MigrationTransfer, ShardMigrationStatus } from '#crds/api/migration/status.ts';
import { assertNever } from '#kernel/assert-never.ts';
import { setConditions, timestamp } from '#kernel/conditions.ts';
import { keptUntil } from './decide-keeping.ts';
import type { Decision } from './decision.ts';
import { ENDED, type Known, type MigrationFacts, type TransferView } from './facts.ts';
import { leastPhase, phaseOf } from './phase.ts';
import { describeOperation } from './planning.ts';
import { progressOf, withPhase } from './progress.ts';

/** The whole status; what is not known anew stays. */
export function migrationStatus(facts: MigrationFacts, decision: Decision, now: Date): ShardMigrationStatus {
  const { migration, status } = facts;
  // What is still done for one that has ended is no news of it; nor may it seem under way again.
  if (status.phase !== undefined && ENDED.has(status.phase) && decision.kind !== 'Done') return status;
  const transfers = facts.transfers.length > 0 ? facts.transfers.map(reached) : status.transfers;
  const known = facts.transfers.flatMap((view): readonly Known[] =>
    view.observed.kind === 'Facts' ? [{ view, transfer: view.observed.facts }] : [],
  );
  const phase = phaseNow(status, decision, transfers);
  const progress = progressOf(known, status.progress);
  const {
    waitingFor: _before,
    conditions = [],
    rollbackUntil: _until,
    progress: _progress,
    ...kept
  } = status;
  const started = status.startTime ?? (transfers ? timestamp(now) : undefined);
  return {
    ...kept,
    observedGeneration: migration.metadata.generation ?? 0,
    phase,
    operation: describeOperation(migration.spec).slice(0, 512),
    ...(transfers && { transfers: [...transfers] }),
    ...(progress && { progress }),
    ...(started === undefined ? {} : { startTime: started }),
    ...(decision.kind === 'Done' ? { completionTime: status.completionTime ?? timestamp(now) } : {}),
    ...(decision.kind === 'Wait' && decision.lines ? { plan: [...decision.lines] } : {}),
    ...(decision.kind === 'Wait' && decision.waitingFor !== undefined
      ? { waitingFor: decision.waitingFor }
      : {}),
    ...cutoverOf(status, known),
    ...(isKept(facts, known) ? { rollbackUntil: timestamp(keptUntil(facts, known)) } : {}),
    ...(transfers ? { phases: withPhase(status.phases ?? [], phase, progress, now) } : {}),
    conditions: setConditions(
      conditions.filter(({ type }) => type !== ABORT_REFUSED),
      conditionsOf(facts, decision).map(condition => ({
        ...condition,
        message: condition.message.slice(0, 4096),
        observedGeneration: migration.metadata.generation ?? 0,
      })),
      now,
    ),
  };
}

const ABORT_REFUSED = 'AbortRefused';

function reached(view: TransferView): MigrationTransfer {
  return { ...view.plan, phase: phaseOf(view) };
}

function phaseNow(
  { phase, ending }: ShardMigrationStatus,
  decision: Decision,
  transfers: readonly MigrationTransfer[] | undefined,
): MigrationPhase {
  if (decision.kind === 'Done') return decision.phase;
  // While it is cleaned up there is less and less to tell how far it was.
  if (ending === 'Completed') return 'VerifyAndCleanup';
  if (ending !== undefined) return phase ?? 'Pending';
  return leastPhase((transfers ?? []).map(transfer => transfer.phase ?? 'Pending'));
}

/** A pass that was cut off right after the decision left no word of it but the decision itself. */
function cutoverOf(
  { cutover }: ShardMigrationStatus,
  known: readonly Known[],
): Pick<ShardMigrationStatus, 'cutover'> {
  const published = known.flatMap(({ view, transfer }) =>
    transfer.decided && transfer.writes === view.owners?.write ? [transfer.decided] : [],
  );
  const last = published.toSorted((a, b) => (a.at < b.at ? -1 : 1)).at(-1);
  if (!last || cutover?.time !== undefined) return cutover ? { cutover } : {};
  const stalls = published.map(({ stallMs }) => Math.ceil(stallMs));
  return {
    cutover: {
      ...cutover,
      time: timestamp(new Date(last.at)),
      writeStallMs: Math.max(cutover?.writeStallMs ?? 0, ...stalls),
    },
  };
}

function isKept({ status }: MigrationFacts, known: readonly Known[]): boolean {
  return (
    status.ending === undefined &&
    known.length > 0 &&
    known.every(({ view, transfer }) => view.owners?.write === 'target' && transfer.decided !== undefined)
  );
}

function conditionsOf(facts: MigrationFacts, decision: Decision): readonly WantedCondition[] {
  const refused: readonly WantedCondition[] = abortIsLate(facts)
    ? [
        {
          type: ABORT_REFUSED,
          status: 'True',
          reason: 'TooLate',
          message:
            'spec.abort came after the way back was given up: move the data back with a new ShardMigration',
        },
      ]
    : [];
  return [...mainConditions(decision), ...refused];
}

function abortIsLate({ migration: { spec }, status }: MigrationFacts): boolean {
  return spec.abort && (status.ending === 'Completed' || status.phase === 'Completed');
}

function mainConditions(decision: Decision): readonly WantedCondition[] {
  const { reason, message } = decision;
  const says = (type: string, status: 'True' | 'False'): WantedCondition => ({
    type,
    status,
    reason,
    message,
  });
  switch (decision.kind) {
    case 'Act':
      return [says('Ready', 'False'), says('Reconciling', 'True'), idle('Stalled', 'Progressing')];
    case 'Wait':
      return decision.settled
        ? [says('Ready', 'True'), idle('Reconciling', 'AsWanted'), idle('Stalled', 'Progressing')]
        : [says('Ready', 'False'), says('Reconciling', 'True'), idle('Stalled', 'Progressing')];
    case 'Stalled':
      return [says('Ready', 'False'), idle('Reconciling', 'Stalled'), says('Stalled', 'True')];
    case 'Done':
      return decision.phase === 'Failed'
        ? [says('Ready', 'False'), idle('Reconciling', 'Stalled'), says('Stalled', 'True')]
        : [says('Ready', 'True'), idle('Reconciling', 'Done'), idle('Stalled', 'Progressing')];
    default:
      return assertNever(decision);
  }
}

function idle(type: string, reason: string): WantedCondition {
  return { type, status: 'False', reason, message: '' };
}
