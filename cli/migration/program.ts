/** The commands that move data, and their options. What they do is in the files beside this one. */
import { type Command, InvalidArgumentError } from 'commander';
import { CliError } from '../errors.ts';
import type { Io, OutputFormat } from '../io.ts';
import type { Session } from '../session.ts';
import { type BeginOptions, begin, type Operation, slotRanges } from './begin.ts';
import { listMigrations, showMigration } from './show.ts';
import { type Order, steer } from './steer.ts';
import { watchMigration } from './watch.ts';

export interface ProgramContext {
  readonly io: Io;
  /** Runs a command in a session that is closed afterwards, whatever happens. */
  readonly inSession: (
    command: Command,
    work: (session: Session, format: OutputFormat) => Promise<void>,
  ) => Promise<void>;
  /** Is told the exit code of a command that has one of its own. */
  readonly done: (code: number) => void;
  readonly examples: (...lines: readonly string[]) => string;
}

type BeginFlags = BeginOptions & { readonly watch?: boolean };

export function addMigrationCommands(program: Command, context: ProgramContext): void {
  addOperations(program, context);
  const { io, inSession, done, examples } = context;
  const group = program
    .command('migration')
    .description('Look at migrations of data between shards, and steer them.')
    .helpCommand(false)
    .addHelpText('after', examples('migration list', 'migration watch split-social-0'));

  group
    .command('list')
    .description('Show all migrations of the namespace, the newest last.')
    .option('--cluster <name>', 'those of one fleet')
    .action((options: { cluster?: string }, command: Command) =>
      inSession(command, ({ migrations }, format) => listMigrations(io, migrations, options.cluster, format)),
    );

  group
    .command('show <name>')
    .description('Show one migration: phases, plan, findings, what it waits for.')
    .action((name: string, _options: object, command: Command) =>
      inSession(command, ({ migrations }, format) => showMigration(io, migrations, name, format)),
    );

  group
    .command('watch <name>')
    .description(
      'Follow a migration until it ends. The exit code is 0 when it completed, 3 when it was aborted, 4 when it was rolled back, 1 when it failed or was deleted.',
    )
    .option('--until-cutover', 'only until writes go to the new owner')
    .action((name: string, options: { untilCutover?: boolean }, command: Command) =>
      inSession(command, async ({ migrations }) => {
        const until = options.untilCutover === true ? 'cutover' : 'end';
        done(await watchMigration(io, migrations, name, { until }));
      }),
    );

  const say: Readonly<Record<Order, string>> = {
    cutover: 'Let a migration with a manual cutover change owners, as soon as it is safe.',
    abort: 'Undo a migration; after its cutover, roll it back.',
    finish: 'End the time in which a migration can be rolled back, and clean up.',
    suspend: 'Let a migration stay where it is. Changes go on being copied.',
    resume: 'Let a suspended migration go on.',
  };
  for (const order of ['cutover', 'abort', 'finish', 'suspend', 'resume'] as const) {
    group
      .command(`${order} <name>`)
      .description(say[order])
      .action((name: string, _options: object, command: Command) =>
        inSession(command, ({ migrations }) => steer(io, migrations, name, order)),
      );
  }
}

function addOperations(program: Command, context: ProgramContext): void {
  const { examples } = context;
  const start = (command: Command, operation: Operation): Promise<void> =>
    startOperation(context, command, operation);

  withBeginOptions(program.command('split <shard>'))
    .description('Split a shard: parts of it move to empty shards. Raise spec.shards of the fleet first.')
    .option(
      '--into <n>',
      'shards that it becomes, itself included (default: 2, or one more than --at has keys)',
      whole,
    )
    .option('--at <key...>', 'first key of each part but the lowest, in a fleet that is sharded by range')
    .addHelpText(
      'after',
      examples('split social-0', 'split social-0 --into 4 --manual --watch', 'split social-0 --at 1000 2000'),
    )
    .action((shard: string, { at, into }: { at?: string[]; into?: number }, command: Command) =>
      start(command, {
        name: `split-${shard}`,
        shards: [shard],
        spec: { split: { shard, into: into ?? (at?.length ?? 1) + 1, ...(at === undefined ? {} : { at }) } },
      }),
    );

  withBeginOptions(program.command('merge <shards...>'))
    .description('Merge shards into one of them. Lower spec.shards of the fleet first.')
    .option('--into <shard>', 'the one that remains (default: the first)')
    .addHelpText('after', examples('merge social-0 social-4', 'merge social-3 social-2 --into social-2'))
    .action((shards: string[], { into }: { into?: string }, command: Command) =>
      start(command, {
        name: `merge-${into ?? shards[0] ?? ''}`,
        shards,
        spec: { merge: { shards, ...(into === undefined ? {} : { into }) } },
      }),
    );

  withBeginOptions(program.command('move <shard> [region]'))
    .description('Move a whole shard to another region, onto another storage class, or both.')
    .option('--storage-class <name>', 'storage class that it moves onto (default: its own)')
    .addHelpText('after', examples('move social-1 us-east', 'move social-1 --storage-class fast'))
    .action(
      (shard: string, region: string | undefined, options: { storageClass?: string }, command: Command) => {
        const { storageClass } = options;
        if (region === undefined && storageClass === undefined) {
          throw new CliError(
            'NoPlace',
            `no place to move ${shard} to`,
            'Name a region, --storage-class, or both.',
          );
        }
        const move = {
          shard,
          ...(region === undefined ? {} : { region }),
          ...(storageClass === undefined ? {} : { storageClassName: storageClass }),
        };
        return start(command, { name: `move-${shard}`, shards: [shard], spec: { move } });
      },
    );

  withBeginOptions(program.command('slots <from> <to> <ranges>'))
    .description('Move slots from one shard to another.')
    .addHelpText(
      'after',
      examples('slots social-0 social-1 0-1023,2048', 'slots social-0 social-1 7 --dry-run'),
    )
    .action((from: string, to: string, ranges: string, _options: object, command: Command) =>
      start(command, {
        name: `slots-${from}-${to}`,
        shards: [from, to],
        spec: { slots: { from, to, ranges: slotRanges(ranges) } },
      }),
    );
}

function startOperation(
  { io, inSession, done }: ProgramContext,
  command: Command,
  operation: Operation,
): Promise<void> {
  return inSession(command, async ({ fleet, migrations }, format) => {
    const { watch, ...options } = command.opts<BeginFlags>();
    const made = await begin(io, fleet, migrations, operation, options, format);
    if (watch !== true || made === undefined) return;
    done(await watchMigration(io, migrations, made.metadata.name, { until: 'cutover' }));
  });
}

function withBeginOptions(command: Command): Command {
  return command
    .option('--name <name>', 'name of the ShardMigration (default: made from what it does)')
    .option('--dry-run', 'show the plan and what was found, and leave nothing behind')
    .option('--manual', 'wait for "migration cutover" before owners change')
    .option('--window <cron>', 'minutes in UTC in which owners may change, as "* 1-4 * * *"')
    .option('--max-lag <size>', 'how far the copy may be behind when owners change (1Mi)')
    .option('--max-write-stall <time>', 'longest time that writes may wait (1s)')
    .option('--max-bytes-per-second <size>', 'rows that it may copy in a second, as 20Mi (no limit)')
    .option('--parallel <n>', 'sessions that copy at once from one shard to another (2)', whole)
    .option('--max-replica-lag <size>', 'lag of a replica beyond which the copy slows down (64Mi)')
    .option('--max-commit-latency <time>', 'time of a commit beyond which the copy slows down (250ms)')
    .option('--rollback-window <time>', 'how long it can be rolled back afterwards (24h)')
    .option('--sample', 'compare some slots only instead of every row')
    .option('--ignore <check,...>', 'findings of the checks that are accepted', list)
    .option('--watch', 'follow it until writes go to the new owner');
}

function list(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...text.split(',').filter(part => part !== '')];
}

function whole(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Write a whole number above 0.');
}
