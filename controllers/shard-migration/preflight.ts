/** What the checks before the start found, and what of it stops a migration. Pure. */
import type { MigrationFinding, ShardMigrationStatus } from '#crds/api/migration/status.ts';
import type { MigrationFacts } from './facts.ts';

/** Errors that nobody has accepted. */
export function blocking({ migration, status }: MigrationFacts): readonly MigrationFinding[] {
  const { ignore } = migration.spec.preflight;
  return (status.preflight?.findings ?? []).filter(
    ({ severity, check, overridable }) =>
      severity === 'error' && !(overridable === true && ignore.includes(check)),
  );
}

/** The checks were not made, or longer ago. */
export function preflightDue({ preflight }: ShardMigrationStatus, now: Date, maxAgeMs: number): boolean {
  return preflight === undefined || now.getTime() - Date.parse(preflight.time) >= maxAgeMs;
}
