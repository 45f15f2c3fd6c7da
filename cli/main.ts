/** kubectl-shardwright: kubectl finds it by that name on the PATH and runs it as `kubectl shardwright`. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { CommanderError } from 'commander';
import { describeError } from './errors.ts';
import type { Io } from './io.ts';
import { createProgram } from './program.ts';
import { connect } from './session.ts';

const io: Io = {
  out: text => void process.stdout.write(text),
  error: text => void process.stderr.write(text),
  now: () => new Date(),
  terminal: process.stdin.isTTY && process.stdout.isTTY,
  columns: process.stdout.isTTY && process.env['TERM'] !== 'dumb' ? process.stdout.columns : undefined,
  sleep: ms => setTimeout(ms),
  run,
};

const ignore = (): void => undefined;

function run(command: string, args: readonly string[]): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit' });
    // An interrupt is for the program in the foreground, which gets it too.
    process.on('SIGINT', ignore);
    child.once('error', error =>
      'code' in error && error.code === 'ENOENT' ? resolve(undefined) : reject(error),
    );
    child.once('exit', (code, signal) => {
      process.off('SIGINT', ignore);
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

const program = createProgram(io, connect, code => {
  process.exitCode = code;
});

try {
  await program.exitOverride().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    io.error(describeError(error));
    process.exitCode = 1;
  }
}
