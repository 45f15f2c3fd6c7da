/** How far a transfer is, from facts alone (docs/adr/0003-moving-data.md). Pure. */
import type { MigrationPhase } from '#crds/api/migration/status.ts';
import type { TransferFacts } from '#engines/migration.ts';
import type { TransferView } from './facts.ts';

/** The phases on the way, in order. */
export const PHASES = [
  'Pending',
  'SetupReplication',
  'BulkCopy',
  'SyncChanges',
  'SwitchReads',
  'SwitchWrites',
  'VerifyAndCleanup',
] as const satisfies readonly MigrationPhase[];

/** What was last known where nothing is known now. */
export function phaseOf({ plan, observed, owners }: TransferView): MigrationPhase {
  if (observed.kind !== 'Facts' || !owners) return plan.phase ?? 'Pending';
  const { facts } = observed;
  if (owners.write === 'target' && !decidedAgainst(facts)) return 'VerifyAndCleanup';
  if (owners.read === 'target' || facts.writes === 'target') return 'SwitchWrites';
  if (!isPrepared(facts)) return 'SetupReplication';
  if (facts.forward.kind !== 'Streaming') return 'BulkCopy';
  return facts.verified.forward === undefined ? 'SyncChanges' : 'SwitchReads';
}

/** The one that is least far. */
export function leastPhase(phases: readonly MigrationPhase[]): MigrationPhase {
  return PHASES.find(phase => phases.includes(phase)) ?? phases[0] ?? 'Pending';
}

export function isPrepared({ ends }: TransferFacts): boolean {
  return ends.source.prepared && ends.target.prepared;
}

/** Nothing of the transfer is left at either end, or was ever there. */
export function isClean({ ends }: TransferFacts): boolean {
  return ends.source.traces.length === 0 && ends.target.traces.length === 0;
}

function decidedAgainst(facts: TransferFacts): boolean {
  return facts.decided !== undefined && facts.writes === 'source';
}
