/** Actions that only look, for as long as it takes: the checks before the start, and comparing rows. */
import type { ShardMigrationStatus } from '#crds/api/migration/status.ts';
import type { Verification } from '#engines/migration.ts';
import { timestamp } from '#kernel/conditions.ts';
import type { Action } from './decision.ts';
import { nameOf } from './facts.ts';
import { whileUnchanged } from './interrupt.ts';
import { cut, emit, type Outcome, type Pass, planOf } from './pass.ts';
import { TransferSessions } from './sessions.ts';

export async function preflight(
  pass: Pass,
  { transfers }: Action & { readonly kind: 'Preflight' },
): Promise<Outcome> {
  const { deps, facts, record } = pass;
  const findings: NonNullable<ShardMigrationStatus['preflight']>['findings'] = [];
  const estimate = { rows: 0, bytes: 0 };
  const done = await interruptible(pass, async sessions => {
    for (const transfer of transfers) {
      const found = await (await sessions.of(transfer)).preflight();
      findings.push(
        ...found.findings.map(finding => ({
          ...finding,
          message: cut(finding.message),
          remedy: cut(finding.remedy),
        })),
      );
      estimate.rows += Math.round(found.estimate.rows);
      estimate.bytes += Math.round(found.estimate.bytes);
    }
  });
  if (!done) return 'Stop';
  const accepted = new Set(facts.migration.spec.preflight.ignore);
  const shown = findings.filter(({ severity, check }) => severity === 'error' || !accepted.has(check));
  const time = timestamp(deps.clock.now());
  await record(status => ({ ...status, estimate, preflight: { time, findings: shown.slice(0, 128) } }));
  for (const { severity, check, message } of shown) {
    if (severity === 'warning') emit(pass, 'Warning', check, 'Preflight', message);
  }
  return undefined;
}

export async function verify(
  pass: Pass,
  { transfer, stream }: Action & { readonly kind: 'Verify' },
): Promise<Outcome> {
  const { deps, facts, context, record } = pass;
  const { mode } = facts.migration.spec.verification;
  context.log.info({ transfer, stream, mode }, 'comparing rows');
  let found: Verification | undefined;
  const plan = planOf(facts, transfer);
  const done = await interruptible(pass, async sessions => {
    found = await (await sessions.of(plan)).verify(stream, mode);
  });
  if (!done || !found) return 'Stop';
  const { matches, rows, differences } = found;
  const time = timestamp(deps.clock.now());
  await record(status => ({
    ...status,
    verification: { time, stream, matches, rows, differences: differences.slice(0, 16).map(cut) },
  }));
  const names = nameOf({ plan });
  if (matches) emit(pass, 'Normal', 'RowsAgree', 'Verify', `${names}: ${rows} rows agree`);
  else emit(pass, 'Warning', 'RowsDiffer', 'Verify', `${names}: ${differences.join('; ')}`);
  return undefined;
}

/** Work of many minutes that only looks: it gives way as soon as somebody wants something else. False when it did. */
async function interruptible(
  pass: Pass,
  work: (sessions: TransferSessions) => Promise<void>,
): Promise<boolean> {
  const { deps, raw, facts, context } = pass;
  using unchanged = whileUnchanged(deps.caches.shardMigrations, raw);
  const deadline = AbortSignal.timeout(deps.comparisonMs);
  const signal = AbortSignal.any([context.signal, unchanged.signal, deadline]);
  await using sessions = new TransferSessions(deps, facts, signal);
  try {
    // Whatever hangs, even where no signal reaches: the next pass begins anew.
    await Promise.race([work(sessions), aborted(signal)]);
    return true;
  } catch (error) {
    if (unchanged.signal.aborted && !context.signal.aborted) return false;
    throw error;
  }
}

/** Rejects when the signal aborts. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const give = () => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    if (signal.aborted) give();
    else signal.addEventListener('abort', give, { once: true });
  });
}
