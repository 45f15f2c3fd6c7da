/** The world around a command, so that tests can be one. */
export interface Io {
  out(text: string): void;
  error(text: string): void;
  now(): Date;
  /** Both ends of a terminal are ours: a program that runs in the foreground may have it. */
  readonly terminal: boolean;
  /** Width of the terminal that `out` goes to; undefined where it is no terminal and nothing can be drawn over. */
  readonly columns: number | undefined;
  sleep(ms: number): Promise<void>;
  /** Runs a program in the foreground with our standard streams. Resolves with its exit code; undefined: not found. */
  run(command: string, args: readonly string[]): Promise<number | undefined>;
}

export type OutputFormat = 'table' | 'json';

export function printJson(io: Io, value: unknown): void {
  io.out(`${JSON.stringify(value, jsonValue, 2)}\n`);
}

/** A bigint has no JSON form that every reader keeps exact: it becomes text. */
function jsonValue(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
