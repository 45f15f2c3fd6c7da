/** `split`, `merge`, `move`, `slots`: make a ShardMigration, or with --dry-run only ask what it would do. */
import { ConditionType } from '#crds/api/conditions.ts';
import type { ShardMigration } from '#crds/api/shard-migration.ts';
import { CliError } from '../errors.ts';
import type { Fleet } from '../fleet.ts';
import { type Io, type OutputFormat, printJson } from '../io.ts';
import type { Migrations } from './migrations.ts';
import { showPlan } from './show.ts';
import { conditionOf, endingOf, messageOf, operationOf, stalledOf } from './story.ts';

export interface BeginOptions {
  readonly name?: string;
  readonly dryRun?: boolean;
  readonly manual?: boolean;
  readonly window?: string;
  readonly maxLag?: string;
  readonly maxWriteStall?: string;
  readonly maxBytesPerSecond?: string;
  readonly parallel?: number;
  readonly maxReplicaLag?: string;
  readonly maxCommitLatency?: string;
  readonly rollbackWindow?: string;
  readonly sample?: boolean;
  readonly ignore?: readonly string[];
}

export interface Operation {
  /** What the migration is called unless told otherwise. */
  readonly name: string;
  /** Shards that it names. */
  readonly shards: readonly string[];
  /** The field of the spec that says what to do. */
  readonly spec: object;
}

const planWithinMs = 60_000;
const lookEveryMs = 500;

/** The migration that was made; undefined after a dry run. */
export async function begin(
  io: Io,
  fleet: Fleet,
  migrations: Migrations,
  operation: Operation,
  options: BeginOptions,
  format: OutputFormat,
): Promise<ShardMigration | undefined> {
  const cluster = await clusterOf(fleet, operation.shards);
  const dryRun = options.dryRun === true;
  const name = options.name ?? (dryRun ? `${operation.name}-dry-run` : operation.name);
  const spec = { ...operation.spec, ...settingsOf(options), ...(dryRun ? { dryRun } : {}) };
  const made = await migrations.create(name, options.name !== undefined, cluster, spec);
  if (dryRun) {
    await showDryRun(io, migrations, made, format);
    return undefined;
  }
  if (format === 'json') printJson(io, made);
  else {
    io.out(
      `${made.metadata.name}: ${operationOf(made)}\nFollow it: kubectl shardwright migration watch ${made.metadata.name}\n`,
    );
  }
  return made;
}

/** Shards that are not there are told at once; all must be of one fleet. */
async function clusterOf(fleet: Fleet, names: readonly string[]): Promise<string> {
  const shards = await Promise.all(names.map(name => fleet.shard(name)));
  const clusters = [...new Set(shards.map(shard => shard.spec.cluster.name))];
  const [cluster, ...others] = clusters;
  if (cluster !== undefined && others.length === 0) return cluster;
  throw new CliError(
    'SeveralFleets',
    `these shards are of different fleets: ${clusters.join(', ')}`,
    'Data moves between shards of one fleet only.',
  );
}

function settingsOf(options: BeginOptions): object {
  const { manual, window, maxLag, maxWriteStall, rollbackWindow, sample, ignore } = options;
  const { maxBytesPerSecond, parallel, maxReplicaLag, maxCommitLatency } = options;
  const mode = manual === true ? 'Manual' : undefined;
  const settings = {
    cutover: given({ mode, window, maxLag, maxWriteStall }),
    pace: given({ maxBytesPerSecond, parallel, maxReplicaLag, maxCommitLatency }),
    rollbackWindow,
    verification: sample === true ? { mode: 'Sample' } : undefined,
    preflight: given({ ignore }),
  };
  return given(settings) ?? {};
}

/** The fields that have a value; nothing where none has. */
function given(fields: Readonly<Record<string, unknown>>): object | undefined {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** Waits until the operator has written what it would do, shows it, and leaves nothing behind. */
async function showDryRun(
  io: Io,
  migrations: Migrations,
  made: ShardMigration,
  format: OutputFormat,
): Promise<void> {
  const { name } = made.metadata;
  try {
    const planned = await untilPlanned(io, migrations, name);
    if (format === 'json') return printJson(io, planned.status ?? {});
    io.out(`${operationOf(planned)} (nothing was touched)\n`);
    showPlan(io, planned);
    const obstacle = stalledOf(planned)?.message ?? errorsOf(planned);
    if (obstacle !== undefined) {
      throw new CliError('WouldStall', `it would not begin: ${obstacle}`, 'See the findings above.');
    }
  } finally {
    await migrations.delete(name);
  }
}

/** Findings that stop a migration, by name. */
function errorsOf({ spec, status }: ShardMigration): string | undefined {
  const stopping = status?.preflight?.findings.filter(
    ({ check, severity, overridable }) =>
      severity === 'error' && !(overridable === true && spec.preflight.ignore.includes(check)),
  );
  const names = (stopping ?? []).map(({ check }) => check);
  return names.length === 0 ? undefined : [...new Set(names)].join(', ');
}

async function untilPlanned(io: Io, migrations: Migrations, name: string): Promise<ShardMigration> {
  const untilMs = io.now().getTime() + planWithinMs;
  for (;;) {
    const migration = await migrations.get(name);
    const planned = conditionOf(migration, ConditionType.ready)?.status === 'True';
    if (planned || stalledOf(migration) !== undefined || endingOf(migration) !== undefined) return migration;
    if (io.now().getTime() > untilMs) {
      const message = messageOf(migration);
      throw new CliError(
        'NoPlan',
        `the operator has made no plan within a minute${message === '' ? '' : `: ${message}`}`,
        'See whether it runs, and whether the fleet is Ready: kubectl shardwright status.',
      );
    }
    await io.sleep(lookEveryMs);
  }
}

/** `0-1023,2048` */
export function slotRanges(text: string): readonly { readonly first: number; readonly last: number }[] {
  return text.split(',').map(part => {
    const [, first, last = first] = /^(\d{1,7})(?:-(\d{1,7}))?$/.exec(part.trim()) ?? [];
    if (first === undefined || Number(last) < Number(first)) {
      throw new CliError(
        'Slots',
        `${JSON.stringify(part)} is no range of slots`,
        'Write ranges as 0-1023,2048: the lower one first, both included.',
      );
    }
    return { first: Number(first), last: Number(last) };
  });
}
