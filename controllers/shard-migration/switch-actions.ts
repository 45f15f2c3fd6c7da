/** The actions that a switch consists of, in the order that keeps it safe to be killed between any two. Pure. */
import type { Switch } from '#engines/migration.ts';
import type { Action } from './decision.ts';
import type { MigrationFacts, TransferView } from './facts.ts';
import { fenceLimits } from './gate.ts';
import { isMarkOf, markOf } from './mark.ts';

/** Both ends let the next readers in, each seeing what it will own, before the first of them can come; the old ones go last. */
export function switchReaders({ plan }: TransferView, change: Switch): readonly Action[] {
  const transfer = plan.id;
  return [
    { kind: 'OpenReaders', transfer, change },
    { kind: 'Publish', transfer, change },
    { kind: 'CloseReaders', transfer, change },
  ];
}

/** The mark keeps everybody else from the map until what the fence decides is published. */
export function switchWriters(
  facts: MigrationFacts,
  { plan }: TransferView,
  change: Switch,
): readonly Action[] {
  const transfer = plan.id;
  const uid = facts.migration.metadata.uid ?? '';
  const mark = facts.map?.markedBy;
  const stale = mark !== undefined && isMarkOf(mark, uid) && mark !== markOf(uid, { transfer, change });
  return [
    ...(stale ? [{ kind: 'UnmarkMap', mark } as const] : []),
    { kind: 'MarkMap', transfer, change },
    { kind: 'Fence', transfer, change, limits: fenceLimits(facts) },
    { kind: 'Publish', transfer, change },
  ];
}
