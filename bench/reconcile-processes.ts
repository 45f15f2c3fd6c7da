/** The processes that the reconcile bench runs: the operator with what the image gives it, kwok, and the rest of the world. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiServerAccess } from '#hack/local-apiserver.ts';
import { repoDir } from '#hack/paths.ts';
import type { Usage } from './reconcile-operator.ts';

export interface Parts {
  readonly dir: string;
  readonly env: NodeJS.ProcessEnv;
  /** Folder for CPU profiles of the operator. */
  readonly profile: string | undefined;
}

export interface RunningOperator {
  usage(): Promise<Usage>;
  stop(): Promise<void>;
}

export async function startOperator({ dir, env, profile }: Parts): Promise<RunningOperator> {
  const flags = profile ? ['--cpu-prof', `--cpu-prof-dir=${profile}`] : [];
  const child = fork(join(dir, 'operator.mjs'), {
    env: { ...env, ...(await imageEnv()), ...operatorEnv },
    execArgv: [...(await imageFlags()), ...flags],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  endWithParent(child);
  const usage = async (): Promise<Usage> => {
    const answer = once(child, 'message', { signal: AbortSignal.timeout(30_000) });
    child.send('usage');
    const [value]: Usage[] = await answer;
    if (!value) throw new Error('the operator did not answer');
    return value;
  };
  while ((await usage()).workedMs === undefined) await sleep(20);
  return {
    usage,
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** Node's flags as the image has them. */
async function imageFlags(): Promise<readonly string[]> {
  const command = /^ENTRYPOINT (\[.*\])$/m.exec(await dockerfile())?.[1];
  const words: readonly string[] = command === undefined ? [] : JSON.parse(command);
  return words.filter(word => word.startsWith('--'));
}

/** The environment as the image has it. */
async function imageEnv(): Promise<NodeJS.ProcessEnv> {
  const assignments = /^ENV (.*)$/m.exec(await dockerfile())?.[1]?.split(' ') ?? [];
  return Object.fromEntries(assignments.map(text => text.split('=')));
}

function dockerfile(): Promise<string> {
  return readFile(join(repoDir, 'images/operator/Dockerfile'), 'utf8');
}

const operatorEnv = {
  POD_NAMESPACE: 'default',
  HTTP_PORT: '0',
  MAP_PORT: '0',
  LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'warn',
};

export interface World extends Disposable {
  /** Lets members start. */
  begin(): void;
}

/** Where members come to be. */
export interface Place {
  readonly namespace: string;
  readonly nodes: readonly string[];
}

/** kwok for nodes and pods, reconcile-world.ts for the rest. */
export function startWorld({ dir, env }: Parts, kwok: string, access: ApiServerAccess, place: Place): World {
  const fakes = spawn(
    kwok,
    [`--kubeconfig=${access.kubeconfigPath}`, '--manage-all-nodes=true', '--cidr=10.128.0.0/16'],
    { stdio: ['ignore', 'ignore', 'ignore'] },
  );
  const world = fork(join(dir, 'world.mjs'), {
    env: { ...env, BENCH_NODES: place.nodes.join(','), BENCH_NAMESPACE: place.namespace },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const children = [fakes, world];
  for (const child of children) endWithParent(child);
  return {
    begin: () => world.send('begin'),
    [Symbol.dispose]() {
      for (const child of children) child.kill('SIGKILL');
    },
  };
}

function endWithParent(child: ChildProcess): void {
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  child.once('exit', () => process.removeListener('exit', onExit));
}

/** What a pod finds of its service account. */
export async function accountEnv(dir: string, access: ApiServerAccess): Promise<NodeJS.ProcessEnv> {
  const account = join(dir, 'account');
  await mkdir(account);
  await Promise.all([
    writeFile(join(account, 'ca.crt'), access.ca),
    writeFile(join(account, 'token'), access.token, { mode: 0o600 }),
    writeFile(join(account, 'namespace'), 'default'),
  ]);
  const { hostname, port } = new URL(access.url);
  return {
    PATH: process.env['PATH'],
    BENCH_ACCOUNT: account,
    KUBERNETES_SERVICE_HOST: hostname,
    KUBERNETES_SERVICE_PORT: port,
  };
}
