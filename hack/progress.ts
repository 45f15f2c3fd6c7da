/**
 * Progress with times, readable on a terminal and in a log file alike: one line when a step has taken a moment, one when
 * it ends, and in between, on a terminal, a last line that counts; elsewhere a line every 30 seconds. What the programs
 * of a step print goes to a log file of its own, whose end is shown when the step fails.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createWriteStream, mkdirSync, readFileSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { logDir } from '#hack/paths.ts';
import { SetupError } from '#hack/setup-error.ts';

interface Step {
  readonly title: string;
  readonly startedMs: number;
  readonly logPath: string;
  log: WriteStream | undefined;
  announced: boolean;
  detail: string;
}

const announceAfterMs = 1_500;
const heartbeatMs = 30_000;
const redrawMs = 250;
const failureLines = 25;

const current = new AsyncLocalStorage<Step>();
const running = new Set<Step>();
let out: NodeJS.WriteStream = process.stdout;
let terminal = out.isTTY && process.env['CI'] === undefined;
let timer: NodeJS.Timeout | undefined;
let lastHeartbeatMs = 0;

/** For programs whose standard output is their result. */
export function progressToStandardError(): void {
  out = process.stderr;
  terminal = out.isTTY && process.env['CI'] === undefined;
}

/** Milliseconds since this process started. */
const now = (): number => performance.now();

/** `7 s`, `1 min 05 s`. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}

function clock(): string {
  const seconds = Math.floor(now() / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, '0')}`;
}

function line(mark: string, text: string): void {
  if (terminal) out.write('\r\u001b[K');
  out.write(`${clock()} ${mark} ${text}\n`);
  draw();
}

function draw(): void {
  if (!terminal || running.size === 0) return;
  const shown = [...running]
    .map(
      ({ title, startedMs, detail: how }) =>
        `${title} ${duration(now() - startedMs)}${how ? ` (${how})` : ''}`,
    )
    .join(' | ');
  out.write(`\r\u001b[K      ${shown.slice(0, (out.columns || 100) - 8)}`);
}

function tick(): void {
  for (const entry of running) {
    if (!entry.announced && now() - entry.startedMs >= announceAfterMs) {
      entry.announced = true;
      line('·', entry.title);
      lastHeartbeatMs = now();
    }
  }
  if (terminal) draw();
  else if (now() - lastHeartbeatMs >= heartbeatMs) {
    lastHeartbeatMs = now();
    for (const entry of running) {
      const how = entry.detail ? `, ${entry.detail}` : '';
      line('·', `${entry.title}: ${duration(now() - entry.startedMs)} so far${how}`);
    }
  }
}

/** A line of its own between the steps. */
export function say(text: string): void {
  line(' ', text);
}

/** Shows how far the step under way has come. */
export function detail(text: string): void {
  const entry = current.getStore();
  if (entry) entry.detail = text;
}

/** Where the programs of the step under way write; undefined outside a step. */
export function currentLog(): ((chunk: string | Buffer) => void) | undefined {
  const entry = current.getStore();
  if (!entry) return undefined;
  return chunk => {
    if (!entry.log) {
      mkdirSync(logDir, { recursive: true });
      entry.log = createWriteStream(entry.logPath);
    }
    entry.log.write(chunk);
  };
}

/** Runs `work` as a step with a title; a failure shows the end of its log. Steps may run at the same time. */
export async function step<T>(title: string, work: () => Promise<T>): Promise<T> {
  const slug = title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 60);
  const entry: Step = {
    title,
    startedMs: now(),
    logPath: join(logDir, `${slug}.log`),
    log: undefined,
    announced: false,
    detail: '',
  };
  running.add(entry);
  if (running.size === 1) lastHeartbeatMs = now();
  timer ??= setInterval(tick, redrawMs).unref();
  try {
    const result = await current.run(entry, work);
    finish(entry);
    line('✓', `${title} (${duration(now() - entry.startedMs)})`);
    return result;
  } catch (error) {
    finish(entry);
    line('✗', `${title} (${duration(now() - entry.startedMs)})`);
    if (entry.log) {
      await new Promise<void>(resolve => entry.log?.end(resolve));
      const tail = readFileSync(entry.logPath, 'utf8').trimEnd().split('\n').slice(-failureLines);
      for (const text of tail) out.write(`        ${text}\n`);
      out.write(`        (all of it: ${entry.logPath})\n`);
    }
    throw error;
  }
}

function finish(entry: Step): void {
  running.delete(entry);
  entry.log?.end();
  if (running.size === 0 && timer) {
    clearInterval(timer);
    timer = undefined;
    if (terminal) out.write('\r\u001b[K');
  }
}

/** Runs a program of the set-up: prints what failed and what to do about it, and sets the exit code. */
export async function main(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    process.exitCode = 1;
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`\n${error.code}: ${error.message}\nWhat to do: ${error.remedy}\n`);
  }
}
