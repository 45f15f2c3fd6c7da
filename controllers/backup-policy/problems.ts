/** What is wrong with a BackupPolicy beyond what one field can show, with the arithmetic. Pure. */
import { durationMs } from '#controllers/duration.ts';
import type { BackupPolicySpec } from '#crds/api/backup-policy.ts';
import type { BackupEngine } from '#engines/backup.ts';
import type { Binding } from './bindings.ts';
import type { Problem } from './facts.ts';
import { cronProblem, longestGapMs } from './timetable.ts';

export interface ProblemsInput {
  readonly spec: BackupPolicySpec;
  readonly binding: Binding;
  /** Of the fleets' engines; undefined for one that makes no backups. */
  readonly engines: readonly (Pick<BackupEngine, 'leastRpo'> | undefined)[];
  readonly now: Date;
}

/** What the spec alone shows does not change while the object is the same. */
const ofSpecs = new WeakMap<BackupPolicySpec, readonly Problem[]>();

export function problemsOf(input: ProblemsInput): readonly Problem[] {
  let ofSpec = ofSpecs.get(input.spec);
  if (!ofSpec) {
    const crons = cronProblems(input);
    ofSpec = [...crons, ...(crons.length > 0 ? [] : retentionProblems(input)), ...archiveProblems(input)];
    ofSpecs.set(input.spec, ofSpec);
  }
  return [...ofSpec, ...objectiveProblems(input), ...bindingProblems(input.binding)];
}

function cronProblems({ spec: { schedule, drill, archive }, now }: ProblemsInput): readonly Problem[] {
  const fields = [
    ['spec.schedule.full', schedule.full],
    ['spec.schedule.incremental', schedule.incremental],
    ['spec.drill.schedule', drill?.schedule],
    ['spec.archive.schedule', archive?.schedule],
  ] as const;
  return fields.flatMap(([field, expression]) => {
    const problem = expression === undefined ? undefined : cronProblem(expression, schedule.timeZone, now);
    return problem === undefined
      ? []
      : [{ reason: 'ScheduleInvalid', message: `${field}: ${problem}; correct it`, plan: true }];
  });
}

function retentionProblems({ spec: { schedule, retention }, now }: ProblemsInput): readonly Problem[] {
  const { full } = retention;
  if (/^\d+$/.test(full)) return [];
  const keptMs = durationMs(full);
  const everyMs = longestGapMs(schedule.full, schedule.timeZone, now);
  if (keptMs >= everyMs) return [];
  return [
    {
      reason: 'RetentionTooShort',
      message:
        `spec.retention.full keeps a full backup for ${full}, and by spec.schedule.full the next one comes only after ` +
        `${describeMs(everyMs)}: keep them for ${describeMs(everyMs)} or longer, or make them more often`,
      plan: true,
    },
  ];
}

function archiveProblems({ spec: { archive, destinations } }: ProblemsInput): readonly Problem[] {
  if (!archive || destinations.every(({ encryption }) => encryption === undefined)) return [];
  return [
    {
      reason: 'ArchiveNotEncrypted',
      message:
        'files of spec.archive are not encrypted, while a destination names a passphrase for backups: leave spec.archive out, ' +
        'or take the fleet into a policy whose destinations have no encryption, with a bucket that encrypts what it stores',
      plan: false,
    },
  ];
}

function objectiveProblems({ spec, engines }: ProblemsInput): readonly Problem[] {
  const { rpo } = spec.objectives;
  const problems: Problem[] = [];
  if (engines.includes(undefined)) {
    problems.push({
      reason: 'EngineHasNoBackups',
      message:
        'the engine of a fleet under this policy makes no backups yet: take the fleet out of spec.clusters',
      plan: true,
    });
  }
  const least = engines
    .flatMap(engine => (engine ? [engine.leastRpo] : []))
    .toSorted((a, b) => b.seconds - a.seconds)[0];
  if (least && durationMs(rpo) < least.seconds * 1000) {
    problems.push({
      reason: 'ObjectiveOutOfReach',
      message:
        `spec.objectives.rpo is ${rpo}, and the least that can be kept is ${least.seconds}s: ${least.because}; ` +
        `set it to ${least.seconds}s or more`,
      plan: true,
    });
  }
  return problems;
}

function bindingProblems({ taken }: Binding): readonly Problem[] {
  if (taken.length === 0) return [];
  const shown = taken
    .slice(0, 5)
    .map(({ cluster, by }) => `ShardCluster ${cluster} is under BackupPolicy ${by}`);
  const more = taken.length > 5 ? ` and ${taken.length - 5} more` : '';
  return [
    {
      reason: 'UnderAnotherPolicy',
      message: `${shown.join(', ')}${more}, which is older: take the fleet out of one of the two`,
      plan: false,
    },
  ];
}

/** As the API writes spans: whole units, the largest that fit. */
export function describeMs(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const;
  let rest = Math.ceil(ms / 1000) * 1000;
  let text = '';
  for (const [unit, size] of units) {
    const whole = Math.floor(rest / size);
    if (whole > 0) text += `${whole}${unit}`;
    rest -= whole * size;
  }
  return text === '' ? '0s' : text;
}
