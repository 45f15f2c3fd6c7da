/**
 * What the probe prints, one JSON object a line, and what is read back from its log. Times are milliseconds since the epoch
 * by the clock of the probe's node.
 */
import { z } from 'zod';

export const probeConfig = z.object({
  /** Tells the rows of this run from those of others in the same table. */
  run: z.string().min(1),
  host: z.string().min(1),
  port: z.int(),
  database: z.string(),
  user: z.string(),
  table: z.string().regex(/^[a-z_][a-z0-9_]*$/),
  /** `connect`: a new connection for every insert. `pooled`: two connections that are kept, and replaced when they break. */
  mode: z.enum(['connect', 'pooled']),
  intervalMs: z.int().min(10).default(100),
  /** For connecting, and again for the statement. */
  timeoutMs: z.int().min(100).default(1000),
  /** It stops by itself after this long. */
  durationMs: z.int().min(1000),
  /** Name to check the server's certificate for; without it the connection is not encrypted. */
  serverName: z.string().exactOptional(),
  /** Makes the table first: for a database without a schema of its own. */
  createTable: z.boolean().default(false),
});
export type ProbeConfig = z.infer<typeof probeConfig>;

const acknowledged = z.object({
  type: z.literal('ack'),
  id: z.int(),
  startedMs: z.number(),
  endedMs: z.number(),
  /** The server's timeline as it was inside the inserting transaction: +1 with every promotion. */
  timeline: z.int(),
  /** When the server that acknowledged it was started, by its own clock: another one for every successor, on whatever timeline. */
  serverStartedMs: z.number(),
});
const failed = z.object({
  type: z.literal('fail'),
  id: z.int(),
  startedMs: z.number(),
  endedMs: z.number(),
  message: z.string(),
});
const ready = z.object({ type: z.literal('ready'), atMs: z.number() });
const stopped = z.object({ type: z.literal('stopped'), atMs: z.number() });
const stored = z.object({
  type: z.literal('stored'),
  /** Ids of this run that the table holds after the last insert, as runs of consecutive numbers, both ends included. */
  ranges: z.array(z.tuple([z.int(), z.int()])),
});

export const probeRecord = z.discriminatedUnion('type', [acknowledged, failed, ready, stopped, stored]);
export type ProbeRecord = z.infer<typeof probeRecord>;
export type Acknowledged = z.infer<typeof acknowledged>;

/** Reads a log; a last line that was cut off is left out, any other that is no record throws. */
export function parseLog(text: string): ProbeRecord[] {
  const whole = text.endsWith('\n') ? text : text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => probeRecord.parse(JSON.parse(line)));
}

/** Sorted numbers as runs of consecutive ones. */
export function toRanges(sorted: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const id of sorted) {
    const last = ranges.at(-1);
    if (last && last[1] + 1 === id) last[1] = id;
    else ranges.push([id, id]);
  }
  return ranges;
}
