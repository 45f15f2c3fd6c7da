/** `migration list` and `migration show`. */
import { ConditionType } from '#crds/api/conditions.ts';
import type { MigrationFinding } from '#crds/api/migration/status.ts';
import type { ShardMigration } from '#crds/api/shard-migration.ts';
import { type Io, type OutputFormat, printJson } from '../io.ts';
import { fields, table } from '../table.ts';
import { age, bytes, count } from '../units.ts';
import { draw } from './draw.ts';
import type { Migrations } from './migrations.ts';
import { conditionOf, messageOf, operationOf, phaseOf } from './story.ts';

/** Wide enough for what is not drawn over. */
const anyWidth = 10_000;

export async function listMigrations(
  io: Io,
  migrations: Migrations,
  cluster: string | undefined,
  format: OutputFormat,
): Promise<void> {
  const all = await migrations.list(cluster);
  if (format === 'json') return printJson(io, all);
  if (all.length === 0) {
    io.error(`No ShardMigrations in namespace ${migrations.namespace}.\n`);
    return;
  }
  const header = ['NAME', 'OPERATION', 'PHASE', 'COPIED', 'LAG', 'STALL', 'AGE', 'MESSAGE'];
  const rows = all.map(migration => {
    const { metadata, status } = migration;
    const { progress, cutover } = status ?? {};
    return [
      metadata.name,
      operationOf(migration),
      phaseOf(migration),
      progress?.percent === undefined ? '-' : `${progress.percent} %`,
      bytes(progress?.lagBytes),
      cutover?.writeStallMs === undefined ? '-' : `${cutover.writeStallMs} ms`,
      age(metadata.creationTimestamp, io.now()),
      messageOf(migration),
    ];
  });
  io.out(table(header, rows));
}

export async function showMigration(
  io: Io,
  migrations: Migrations,
  name: string,
  format: OutputFormat,
): Promise<void> {
  const migration = await migrations.get(name);
  if (format === 'json') return printJson(io, migration);
  const { spec, status } = migration;
  const { mode, approved, window, maxLag, maxWriteStall } = spec.cutover;
  const when = mode === 'Manual' ? `Manual${approved ? ', approved' : ''}` : mode;
  for (const line of draw(migration, io.now(), anyWidth)) io.out(`${line}\n`);
  io.out('\n');
  io.out(
    fields([
      ['Fleet', `${spec.cluster.name} in namespace ${migrations.namespace}`],
      ['Ready', explain(migration, ConditionType.ready)],
      [
        'Cutover',
        `${when}${window === undefined ? '' : ` in the minutes "${window}" (UTC)`}, at most ${maxLag} behind, writes wait ${maxWriteStall} at most`,
      ],
      [
        'Moves',
        status?.estimate && `about ${count(status.estimate.rows)} rows, ${bytes(status.estimate.bytes)}`,
      ],
      ['Changed hands', status?.cutover?.time && changedHands(status.cutover)],
      ['Rollback until', status?.rollbackUntil],
    ]),
  );
  showPlan(io, migration);
}

function changedHands(cutover: { readonly time?: string; readonly epoch?: number }): string {
  return `${cutover.time}${cutover.epoch === undefined ? '' : `, epoch ${cutover.epoch} of the map`}`;
}

/** What will be done, and what stands in its way. */
export function showPlan(io: Io, { status }: ShardMigration): void {
  const { plan = [], transfers = [], preflight } = status ?? {};
  if (transfers.length > 0) {
    io.out('\n');
    const rows = transfers.map(({ id, source, target, whole, phase }) => [
      id,
      source,
      target,
      whole ? 'everything' : 'a part',
      phase ?? '-',
    ]);
    io.out(table(['TRANSFER', 'FROM', 'TO', 'MOVES', 'PHASE'], rows));
  }
  if (plan.length > 0) io.out(`\nPlan:\n${plan.map((step, at) => `  ${at + 1}. ${step}\n`).join('')}`);
  if (preflight !== undefined && preflight.findings.length > 0) {
    io.out(`\nFindings:\n${preflight.findings.map(findingText).join('')}`);
  }
}

function findingText({ check, severity, message, remedy, overridable }: MigrationFinding): string {
  const accept = overridable === true ? ` Or accept it: --ignore ${check}.` : '';
  return `  ${severity} ${check}: ${message}\n    What to do: ${remedy}${accept}\n`;
}

function explain(migration: ShardMigration, type: string): string | undefined {
  const condition = conditionOf(migration, type);
  if (condition === undefined) return undefined;
  return `${condition.status}, ${condition.reason}${condition.message === '' ? '' : `: ${condition.message}`}`;
}
