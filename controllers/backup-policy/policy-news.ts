/** Whether a BackupPolicy's status is worth writing: what turns at once, figures and wordings now and then. Pure. */
import type { BackupPolicyStatus } from '#crds/api/backup-policy.ts';
import { sameJson } from '#kernel/canonical.ts';

const FIGURES_MS = 30_000;

export function isPolicyNews(
  before: BackupPolicyStatus,
  after: BackupPolicyStatus,
  sinceWrittenMs: number,
): boolean {
  if (sameJson(before, after)) return false;
  if (sinceWrittenMs >= FIGURES_MS || !sameJson(meaning(before), meaning(after))) return true;
  const [was, is] = [before.achieved?.rpoSeconds ?? 0, after.achieved?.rpoSeconds ?? 0];
  return is > was * 1.25 + 1;
}

function meaning(status: BackupPolicyStatus): unknown {
  const {
    conditions = [],
    achieved,
    backups,
    lastBackupTime: _b,
    lastDrillTime: _d,
    lastArchiveTime: _a,
    ...rest
  } = status;
  return {
    ...rest,
    unknown: achieved?.unknown,
    rtoSeconds: achieved?.rtoSeconds,
    failed: backups?.failed,
    conditions: conditions.map(({ type, status: holds, reason, observedGeneration }) => [
      type,
      holds,
      reason,
      observedGeneration,
    ]),
  };
}
