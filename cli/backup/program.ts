/** The commands around backups, and their options. What they do is in the files beside this one. */
import { type Command, Option } from 'commander';
import type { BackupKind } from '#crds/api/backup/shard-status.ts';
import type { ProgramContext } from '../migration/program.ts';
import { askForArchive, askForBackup, askForDrill } from './ask.ts';
import { type RebuildOptions, rebuildShard } from './rebuild.ts';
import { listPolicies, showBackups } from './show.ts';

export function addBackupCommands(program: Command, context: ProgramContext): void {
  const { io, inSession, done, examples } = context;

  program
    .command('backups [name]')
    .description(
      'Show all BackupPolicies of the namespace, what the shards of one would lose, or the backups of one shard.',
    )
    .addHelpText('after', examples('backups', 'backups nightly', 'backups social-0'))
    .action((name: string | undefined, _options: object, command: Command) =>
      inSession(command, ({ backups }, format) =>
        name === undefined ? listPolicies(io, backups, format) : showBackups(io, backups, name, format),
      ),
    );

  program
    .command('backup <name>')
    .description('Back up one shard, or all shards of a BackupPolicy, now.')
    .addOption(
      new Option('--type <type>', 'what is made; the first one of a shard is always full')
        .choices(['full', 'incremental'])
        .default('incremental'),
    )
    .option('--wait', 'until all have ended; the exit code is 1 when one has failed', false)
    .addHelpText('after', examples('backup nightly --type full', 'backup social-0 --wait'))
    .action((name: string, options: { type: BackupKind; wait: boolean }, command: Command) =>
      inSession(command, async ({ backups }) =>
        done(await askForBackup(io, backups, name, options.type, options)),
      ),
    );

  program
    .command('drill <name>')
    .description(
      'Restore one shard, or a sample of those of a BackupPolicy, beside the live fleet: only to measure how long it takes, and whether it is right.',
    )
    .option('--wait', 'until it has ended; the exit code is 1 when it has failed', false)
    .addHelpText('after', examples('drill nightly --wait', 'drill social-0'))
    .action((name: string, options: { wait: boolean }, command: Command) =>
      inSession(command, async ({ backups }) => done(await askForDrill(io, backups, name, options))),
    );

  program
    .command('rebuild <shard>')
    .description(
      'Make one shard again from its backups, in place: it is stopped, and what they do not hold is gone. No other shard is touched.',
    )
    .option('--to <time>', 'as it was at that time (RFC 3339); the newest if left out')
    .option(
      '--discard-volumes',
      'delete what is on its old volumes, once it is whole again; without this they must be gone but for the first, whose data are kept aside',
      false,
    )
    .option('--yes', 'that is meant', false)
    .option('--wait', 'until it has ended; the exit code is 1 when it was refused or has failed', false)
    .addHelpText(
      'after',
      examples(
        'rebuild social-0 --discard-volumes --yes --wait',
        'rebuild social-0 --to 2026-03-01T11:30:00Z --yes',
      ),
    )
    .action((shard: string, options: RebuildOptions, command: Command) =>
      inSession(command, async ({ backups }) => done(await rebuildShard(io, backups, shard, options))),
    );

  program
    .command('archive <name>')
    .description(
      'Move old rows of one shard, or of all shards of a BackupPolicy, to files in the object store now, as spec.archive says.',
    )
    .option('--wait', 'until all have ended; the exit code is 1 when one has failed', false)
    .addHelpText('after', examples('archive nightly --wait', 'archive social-0'))
    .action((name: string, options: { wait: boolean }, command: Command) =>
      inSession(command, async ({ backups }) => done(await askForArchive(io, backups, name, options))),
    );
}
