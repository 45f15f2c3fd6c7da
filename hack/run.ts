/**
 * Runs programs. Output goes to the log file of the step under way (see progress.ts), so that a failure can show its
 * last lines; nothing is ever passed through a shell.
 */
import { spawn } from 'node:child_process';
import { constants, createWriteStream } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { finished } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import { binDir, repoDir } from '#hack/paths.ts';
import { currentLog } from '#hack/progress.ts';
import { SetupError } from '#hack/setup-error.ts';

export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to standard input, which is otherwise empty. */
  readonly input?: string;
  /** The program is ended after this long. */
  readonly timeoutMs?: number;
  /** Standard output goes to this file instead of being returned. */
  readonly outputFile?: string;
  /** Standard input is read from this other program, as with a pipe. */
  readonly from?: readonly [command: string, ...args: string[]];
  /** Keeps standard output out of the step's log: for answers that are long and only looked at by a program. */
  readonly quiet?: boolean;
  /** Called with the number of lines that just came on standard error. */
  readonly onError?: (lines: number) => void;
  /** Shows output as it comes instead of collecting it: for programs whose output is the point. */
  readonly inherit?: boolean;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Like {@link tryRun}, but an exit code other than 0 throws. Returns standard output without the last newline. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await tryRun(command, args, options);
  if (result.code === 0) return result.stdout.replace(/\n$/, '');
  const tail = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-20).join('\n');
  throw new SetupError(
    'CommandFailed',
    `${command} ${args.slice(0, 3).join(' ')} ended with code ${result.code}${tail ? `:\n${tail}` : ''}`,
    'read the lines above; running the same command again continues where this one stopped',
  );
}

/** Runs to the end whatever the exit code; a program that does not exist has code 127. */
export async function tryRun(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const env = environment(options.env);
  const feeder = options.from
    ? spawn(options.from[0], options.from.slice(1), {
        env,
        cwd: options.cwd,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    : undefined;
  const child = spawn(command, args, {
    cwd: options.cwd ?? repoDir,
    env,
    stdio: options.inherit ? ['ignore', 'inherit', 'inherit'] : ['pipe', 'pipe', 'pipe'],
    ...(options.timeoutMs ? { timeout: options.timeoutMs } : {}),
  });
  const log = currentLog();
  log?.(`$ ${command} ${args.join(' ')}\n`);
  const decoder = new StringDecoder('utf8');
  let stdout = '';
  let stderr = '';
  const note = (chunk: Buffer): void => {
    const text = chunk.toString();
    stderr += text;
    log?.(chunk);
    options.onError?.(text.split('\n').length - 1);
  };
  const file = options.outputFile ? createWriteStream(options.outputFile) : undefined;
  if (file) child.stdout?.pipe(file);
  else
    child.stdout?.on('data', (chunk: Buffer) => {
      // A character of several bytes may come in two chunks.
      stdout += decoder.write(chunk);
      if (!options.quiet) log?.(chunk);
    });
  child.stderr?.on('data', note);
  // A child that ends before it has read its input closes the pipe: its exit code tells, not the broken pipe.
  child.stdin?.on('error', () => undefined);
  if (feeder && child.stdin) {
    feeder.stderr?.on('data', note);
    feeder.stdout?.pipe(child.stdin);
  } else child.stdin?.end(options.input ?? '');
  const [fed, code] = await Promise.all([feeder ? exitCode(feeder) : 0, exitCode(child, note)]);
  if (file) await finished(file);
  return { code: fed || code, stdout, stderr };
}

function exitCode(child: ReturnType<typeof spawn>, note?: (chunk: Buffer) => void): Promise<number> {
  return new Promise(resolve => {
    child.once('error', error => {
      note?.(Buffer.from(`${error.message}\n`));
      resolve('code' in error && error.code === 'ENOENT' ? 127 : 126);
    });
    child.once('close', (code, signal) => resolve(code ?? (signal ? 128 : 1)));
  });
}

/** What was made here comes first on PATH: kind calls `docker` and `kubectl` by name. */
function environment(extra: RunOptions['env']): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, ...extra };
  env['PATH'] = `${binDir}:${env['PATH'] ?? ''}`;
  for (const [name, value] of Object.entries(extra ?? {})) if (value === undefined) delete env[name];
  return env;
}

/** The first executable file of that name on PATH. */
export async function which(command: string): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, command);
    const usable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (folder !== '' && usable) return path;
  }
  return undefined;
}
