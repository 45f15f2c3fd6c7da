/** `psql`: a session as superuser in the primary's pod, on its local socket: no password and no network are needed. */
import { containers, paths, roles } from '#engines/postgresql/names.ts';
import { CliError } from '../errors.ts';
import type { Io } from '../io.ts';
import type { Session } from '../session.ts';
import { type KeyOptions, locateKey } from './locate.ts';

export interface PsqlTarget extends KeyOptions {
  readonly shard?: string;
  readonly key?: string;
}

/** Resolves with psql's exit code. `args` go to psql as they are. */
export async function psql(
  io: Io,
  session: Session,
  target: PsqlTarget,
  args: readonly string[],
): Promise<number> {
  const { fleet } = session;
  const name = target.shard ?? (await shardOfKey(io, session, target));
  const shard = await fleet.shard(name);
  const pod = await fleet.primaryPod(name);
  const command = [
    'psql',
    '-h',
    paths.sockets,
    '-U',
    roles.superuser,
    '-d',
    shard.spec.engine.database,
    ...args,
  ];
  const code = await io.run('kubectl', [
    ...session.kubectlArgs,
    'exec',
    io.terminal ? '-it' : '-i',
    pod,
    `--container=${containers.database}`,
    '--',
    // The container's root is read-only and it has no pager.
    'env',
    'PSQL_HISTORY=/dev/null',
    'PSQL_PAGER=',
    ...command,
  ]);
  if (code !== undefined) return code;
  throw new CliError(
    'NoKubectl',
    'kubectl is not on the PATH',
    'Install kubectl: it carries the terminal to the pod.',
  );
}

async function shardOfKey(io: Io, session: Session, target: PsqlTarget): Promise<string> {
  if (target.key === undefined) {
    throw new CliError(
      'Usage',
      'no shard was named',
      'Name a shard (psql social-0), or a key of its rows (psql --key 42).',
    );
  }
  const { location } = await locateKey(session.fleet, target.key, target);
  io.error(`key ${location.key} is on ${location.write.shard}\n`);
  return location.write.shard;
}
