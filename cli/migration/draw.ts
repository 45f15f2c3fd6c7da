/** A migration as lines of text: its phases one below the other, with bars, rates and what holds it up. Pure. */
import { type MigrationPhaseStatus, type MigrationStep, migrationStep } from '#crds/api/migration/status.ts';
import type { ShardMigration } from '#crds/api/shard-migration.ts';
import { bytes, count, duration } from '../units.ts';
import { endingOf, messageOf, operationOf, phaseOf, stalledOf } from './story.ts';

const barWidth = 24;
const nameWidth = Math.max(...migrationStep.options.map(step => step.length));

/** `columns`: what a line may take. */
export function draw(migration: ShardMigration, now: Date, columns: number): readonly string[] {
  const { metadata, spec, status } = migration;
  const ending = endingOf(migration);
  const started = status?.startTime ?? metadata.creationTimestamp;
  const ended = status?.completionTime === undefined ? now : new Date(status.completionTime);
  const took = started === undefined ? '' : duration((ended.getTime() - Date.parse(started)) / 1000);
  const state = ending ?? (spec.suspend ? 'suspended' : spec.abort ? 'aborting' : phaseOf(migration));
  return [
    `${metadata.name}: ${operationOf(migration)}`,
    `${state}${took === '' ? '' : `, ${ending === undefined ? 'for' : 'after'} ${took}`}`,
    '',
    ...migrationStep.options.map(step => phaseLine(migration, step, now)),
    ...news(migration, now),
  ].map(line => shorten(line, columns));
}

function phaseLine(migration: ShardMigration, phase: MigrationStep, now: Date): string {
  const found = migration.status?.phases?.find(each => each.name === phase);
  const current = phaseOf(migration) === phase;
  const mark = current ? '▶' : found?.endTime !== undefined ? '✓' : found === undefined ? '·' : '▷';
  const start = `${mark} ${phase.padEnd(nameWidth)}`;
  if (found === undefined) return start.trimEnd();
  const ended = found.endTime === undefined ? now : new Date(found.endTime);
  const took = duration((ended.getTime() - Date.parse(found.startTime)) / 1000);
  const figures = figuresOf(migration, found, current);
  return `${start}  ${took.padStart(7)}${figures === '' ? '' : `  ${figures}`}`;
}

function figuresOf(migration: ShardMigration, phase: MigrationPhaseStatus, current: boolean): string {
  const parts: string[] = [];
  const { progress, cutover } = migration.status ?? {};
  const copying = current && phase.name === 'BulkCopy' && progress?.percent !== undefined;
  if (copying) parts.push(`${bar(progress.percent ?? 0)} ${String(progress.percent).padStart(3)} %`);
  if (current && phase.secondsLeft !== undefined) parts.push(`${duration(phase.secondsLeft)} left`);
  if (phase.bytesPerSecond !== undefined) parts.push(`${bytes(phase.bytesPerSecond)}/s`);
  else if (phase.rowsPerSecond !== undefined) parts.push(`${count(phase.rowsPerSecond)} rows/s`);
  if (copying) {
    const { rowsCopied, rowsTotal, bytesCopied, bytesTotal } = progress;
    if (rowsCopied !== undefined) parts.push(`${partOf(rowsCopied, rowsTotal, count)} rows`);
    if (bytesCopied !== undefined) parts.push(partOf(bytesCopied, bytesTotal, bytes));
  } else {
    if (phase.rows !== undefined) parts.push(`${count(phase.rows)} rows`);
    if (phase.bytes !== undefined) parts.push(bytes(phase.bytes));
  }
  const lagBytes = current ? (phase.lagBytes ?? progress?.lagBytes) : undefined;
  if (lagBytes !== undefined) parts.push(`lag ${bytes(lagBytes)}`);
  if (phase.name === 'SwitchWrites') {
    if (cutover?.writeStallMs !== undefined) parts.push(`writes waited for ${cutover.writeStallMs} ms`);
    if (cutover?.tries !== undefined && cutover.tries > 0)
      parts.push(cutover.tries === 1 ? 'undone once' : `undone ${cutover.tries} times`);
  }
  return parts.join('  ');
}

/** What a person should know beyond the phases. */
function news(migration: ShardMigration, now: Date): readonly string[] {
  const { status } = migration;
  const lines: string[] = [];
  const stalled = stalledOf(migration);
  const message = messageOf(migration);
  if (stalled !== undefined) lines.push(`Stalled, ${stalled.reason}: ${stalled.message}`);
  else if (message !== '') lines.push(message);
  if (status?.cutover?.lastUndone !== undefined && endingOf(migration) === undefined) {
    lines.push(`The last attempt to cut over undid itself: ${status.cutover.lastUndone}`);
  }
  const { verification } = status ?? {};
  if (verification !== undefined && !verification.matches) {
    lines.push(`Rows differ: ${verification.differences.join('; ')}`);
  }
  if (status?.rollbackUntil !== undefined && endingOf(migration) === undefined) {
    const left = (Date.parse(status.rollbackUntil) - now.getTime()) / 1000;
    if (left > 0) lines.push(`Can be rolled back for another ${duration(left)}`);
  }
  return lines.length === 0 ? [] : ['', ...lines];
}

/** `█████░░░░░` */
function bar(percent: number): string {
  const full = Math.floor((Math.min(100, percent) / 100) * barWidth);
  return '█'.repeat(full) + '░'.repeat(barWidth - full);
}

function partOf(done: number, total: number | undefined, text: (value: number) => string): string {
  return total === undefined ? text(done) : `${text(done)} of ${text(total)}`;
}

/** A line that wraps would be taken for two when the picture is drawn over. */
function shorten(line: string, columns: number): string {
  const characters = Array.from(line);
  return characters.length <= columns ? line : `${characters.slice(0, columns - 1).join('')}…`;
}

/** The same in one line, for where nothing can be drawn over. Its first words change only when there is something to tell. */
export function oneLine(migration: ShardMigration): { readonly key: string; readonly text: string } {
  const { spec, status } = migration;
  const phase = phaseOf(migration);
  const stalled = stalledOf(migration);
  const { progress, cutover } = status ?? {};
  const figures = status?.phases?.find(each => each.name === phase);
  const tenth =
    phase === 'BulkCopy' && progress?.percent !== undefined ? Math.floor(progress.percent / 10) : '';
  const message = messageOf(migration);
  const key = [
    phase,
    tenth,
    spec.suspend,
    spec.abort,
    stalled?.reason,
    message,
    cutover?.time,
    cutover?.tries,
  ];
  const known = figures === undefined ? '' : figuresOf(migration, { ...figures, name: '' }, true);
  const parts = [
    ...(tenth === '' ? [] : [`${progress?.percent} %`]),
    ...(known === '' ? [] : [known.replaceAll('  ', ', ')]),
    ...(cutover?.writeStallMs === undefined ? [] : [`writes waited for ${cutover.writeStallMs} ms`]),
  ];
  const why = stalled === undefined ? message : `Stalled, ${stalled.reason}: ${message}`;
  const text = `${[phase, ...parts].join(', ')}${why === '' ? '' : `: ${why}`}`;
  return { key: key.map(String).join('|'), text };
}
