/**
 * What the load is told, what it prints, one JSON object a line, and what is read back from its log. Times are milliseconds
 * since the epoch by the clock of its node.
 */
import { z } from 'zod';
import { shape } from './shape.ts';

export const loadConfig = z.object({
  shape,
  /** Each takes a share of the owners, and does one thing at a time. */
  writers: z.int().min(1).default(6),
  /** Of all writers together, at most. */
  writesPerSecond: z.number().positive().default(60),
  /** Passes a second of each reader, at most. */
  passesPerSecond: z.number().positive().default(5),
  /** Read from replicas too: needs shards that have some. */
  replicas: z.boolean().default(false),
  /** Rows of the table ballast, of all shards: readers count them. */
  ballast: z.int().min(0).default(0),
  /** For one call with all its repetitions. */
  callMs: z.int().min(100).default(20_000),
  /** It stops by itself after this long. */
  durationMs: z.int().min(1000),
  /** Calls printed of each second, the slowest ones, beside all that were repeated. */
  slowestPerSecond: z.int().min(0).default(3),
  seed: z.int().default(1),
});
export type LoadConfig = z.infer<typeof loadConfig>;

const call = z.object({
  type: z.literal('call'),
  kind: z.string(),
  startedMs: z.number(),
  tookMs: z.number(),
  retries: z.int(),
});

const wrong = z.object({
  type: z.literal('wrong'),
  /** `primaries` and `replicas`: a scatter's totals. `own`: a writer did not find what it had written. */
  what: z.enum(['primaries', 'replicas', 'own']),
  atMs: z.number(),
  message: z.string(),
});
export type Wrong = z.infer<typeof wrong>;

const usual = z.object({ calls: z.int(), p50: z.number(), p99: z.number(), max: z.number() });
const tally = z.array(z.tuple([z.string(), z.int()]));

const report = z.object({
  type: z.literal('report'),
  /** Writes: a transaction counts once. */
  acknowledged: z.int(),
  /** Nobody knows whether they took effect. */
  unknown: z.int(),
  /** Refused: they took no effect. */
  failed: z.int(),
  /** Writes, and calls of other kinds, that the client library repeated. */
  retried: z.int(),
  lost: z.array(z.string()),
  doubled: z.array(z.string()),
  torn: z.array(z.string()),
  /** Passes of readers that were right, wrong, and that got no answer. */
  passes: z.object({ right: z.int(), wrong: z.int(), failed: z.int() }),
  /** Of a writer's own writes. */
  wrongOwn: z.int(),
  /** Longest call, in ms, and the usual of each kind. */
  longestMs: z.number(),
  writes: usual,
  usual: z.record(z.string(), usual),
  /** Rows that the application saw in the end, by table. */
  rows: z.object({ accounts: z.int(), pots: z.int(), entries: z.int(), ballast: z.int() }),
  /** How often each error came, most frequent first. */
  errors: tally,
});
export type LoadReport = z.infer<typeof report>;

export const loadRecord = z.discriminatedUnion('type', [
  /** Accounts are open; dead weight may be added. */
  z.object({ type: z.literal('opened'), atMs: z.number() }),
  z.object({ type: z.literal('ready'), atMs: z.number() }),
  /** The client learned of a newer map. */
  z.object({ type: z.literal('map'), epoch: z.int(), atMs: z.number() }),
  call,
  wrong,
  report,
]);
export type LoadRecord = z.infer<typeof loadRecord>;

/** Reads a log; a last line that was cut off, and what is no record, are left out. */
export function parseLoadLog(text: string): LoadRecord[] {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .filter(line => line.startsWith('{"type"'))
    .map(line => loadRecord.parse(JSON.parse(line)));
}
