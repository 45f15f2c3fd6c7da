/** The commands and their options, as commander reads them. What they do is in commands/. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { addBackupCommands } from './backup/program.ts';
import { type KeyOptions, locate } from './commands/locate.ts';
import { showMap } from './commands/map.ts';
import { psql } from './commands/psql.ts';
import { mergeOf, type QueryOptions, query } from './commands/query.ts';
import { statusOf, statusOfAll } from './commands/status.ts';
import { openClient } from './fleet-client.ts';
import type { Io, OutputFormat } from './io.ts';
import { addMigrationCommands } from './migration/program.ts';
import type { ClusterOptions, Connect, Session } from './session.ts';

interface GlobalOptions extends ClusterOptions {
  readonly output: OutputFormat;
}

/** `done` is told the exit code of a command that has one of its own. */
export function createProgram(io: Io, connect: Connect, done: (code: number) => void): Command {
  const program = new Command('kubectl shardwright')
    .usage('<command> [options]')
    .description(
      'Looks at fleets of sharded databases and into them, moves data between their shards, and backs them up.',
    )
    .option('-n, --namespace <name>', 'namespace of the fleet (default: that of the context)')
    .option('--context <name>', 'context of the kubeconfig to use')
    .option('--kubeconfig <path>', 'kubeconfig to use instead of the default')
    .addOption(
      new Option('-o, --output <format>', 'how to print').choices(['table', 'json']).default('table'),
    )
    .helpCommand(false)
    .showHelpAfterError('(--help shows what there is)')
    .configureOutput({ writeOut: text => io.out(text), writeErr: text => io.error(text) });

  /** Runs a command in a session that is closed afterwards, whatever happens. */
  async function inSession(
    command: Command,
    work: (session: Session, format: OutputFormat) => Promise<void>,
  ): Promise<void> {
    const options = command.optsWithGlobals<GlobalOptions>();
    const session = await connect(options);
    try {
      await work(session, options.output);
    } finally {
      session.close();
    }
  }

  program
    .command('status [cluster]')
    .description('Show all fleets of the namespace, or one fleet with its shards.')
    .option('-A, --all-namespaces', 'fleets of all namespaces', false)
    .addHelpText('after', examples('status', 'status social', 'status -A -o json'))
    .action((cluster: string | undefined, options: { allNamespaces: boolean }, command: Command) =>
      inSession(command, ({ fleet }, format) =>
        cluster === undefined
          ? statusOfAll(io, fleet, options.allNamespaces, format)
          : statusOf(io, fleet, cluster, format),
      ),
    );

  program
    .command('map <cluster>')
    .description(
      'Show which shard owns what. The map is read from its ConfigMaps; the operator need not run.',
    )
    .addHelpText('after', examples('map social', 'map social -o json'))
    .action((cluster: string, _options: object, command: Command) =>
      inSession(command, ({ fleet }, format) => showMap(io, fleet, cluster, format)),
    );

  withKeyOptions(program.command('locate <key>'))
    .description(
      'Show the slot of a key, its shard, and where to connect. Write -- before a negative number.',
    )
    .addHelpText(
      'after',
      examples('locate 42', 'locate --cluster chat user:42', 'locate 42 --region eu-west', 'locate -- -7'),
    )
    .action((key: string, options: KeyOptions, command: Command) =>
      inSession(command, ({ fleet }, format) => locate(io, fleet, key, options, format)),
    );

  withKeyOptions(program.command('psql [shard] [psql-args...]'))
    .description("Open psql in the pod of a shard's primary. What follows -- goes to psql.")
    .option('--key <key>', 'the shard that owns this key, instead of one by name')
    .addHelpText(
      'after',
      examples('psql social-0', 'psql --key 42', "psql social-0 -- -c 'select count(*) from users'"),
    )
    .action(
      (shard: string | undefined, args: string[], options: KeyOptions & { key?: string }, command: Command) =>
        inSession(command, async session => {
          // With a key there is no shard to name: what commander took for one is psql's.
          const byKey = options.key !== undefined;
          const own = byKey && shard !== undefined ? [shard, ...args] : args;
          done(await psql(io, session, byKey || shard === undefined ? options : { ...options, shard }, own));
        }),
    );

  program
    .command('query <sql>')
    .description(
      'Run a statement on every shard, as the application, and merge the rows. Without options they come shard after shard.',
    )
    .option('--cluster <name>', 'the fleet (default: the only one of the namespace)')
    .option('--by-shard', 'add a column with the name of the shard')
    .option(
      '--order-by <column[:desc],...>',
      "merge rows that the statement's own ORDER BY sorted, by these columns",
      list,
    )
    .option('--limit <n>', 'keep the first rows only', count)
    .option(
      '--aggregate <column=how,...>',
      'merge rows to one: sum, count, min or max of each column named',
      list,
    )
    .option('--group-by <column,...>', 'with --aggregate: one row for each value of these columns', list)
    .option('--replica', 'read from replicas: may lag behind')
    .option('--sequential', 'one shard after the other instead of all at once')
    .option('--timeout <seconds>', 'give up after this long', count, 30)
    .addHelpText(
      'after',
      examples(
        "query 'select count(*) as n from users' --aggregate n=sum",
        "query 'select country, count(*) as n from cities group by 1' --group-by country --aggregate n=sum",
        "query 'select name, population from cities order by population desc limit 5' --order-by population:desc --limit 5",
        "query 'select version()' --by-shard",
      ),
    )
    .action((sql: string, options: QueryFlags, command: Command) =>
      inSession(command, async (session, format) => {
        const { cluster: name, timeout, ...rest } = options;
        const how: QueryOptions = { ...rest, timeoutMs: timeout * 1000 };
        // Wrong options are told before anything is opened.
        mergeOf(how);
        const cluster = await session.fleet.cluster(name);
        await using client = await openClient(session, cluster, how.timeoutMs);
        await query(io, client, sql, how, format);
      }),
    );

  addMigrationCommands(program, { io, inSession, done, examples });
  addBackupCommands(program, { io, inSession, done, examples });
  return program;
}

type QueryFlags = Omit<QueryOptions, 'timeoutMs'> & { readonly cluster?: string; readonly timeout: number };

function withKeyOptions(command: Command): Command {
  return command
    .option('--cluster <name>', 'the fleet (default: the only one of the namespace)')
    .option('--region <name>', 'region of the key, for fleets that are sharded by region');
}

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map(line => `  kubectl shardwright ${line}\n`).join('')}`;
}

/** Commas part the names; the option may also be given again. */
function list(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...text.split(',').filter(part => part !== '')];
}

function count(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Write a whole number above 0.');
}
