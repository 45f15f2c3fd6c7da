/** What the demo's traffic tells: one JSON object a line. */
import { z } from 'zod';

/** Keys from here on are the traffic's own rows; the cities of the world have lower ones. */
export const firstOwnKey = 1_000_000_000;

export const trafficReport = z.object({
  type: z.literal('report'),
  /** Writes that were acknowledged, and what became of the others. */
  acknowledged: z.int(),
  unknown: z.int(),
  failed: z.int(),
  /** Calls that the client library made again. */
  repeated: z.int(),
  /** Acknowledged and not there afterwards. */
  lost: z.int(),
  /** There twice, or counted up once too often. */
  doubled: z.int(),
  /** Scatters over all cities that gave the right count and sum, and those that did not. */
  scatters: z.object({ right: z.int(), wrong: z.int() }),
  /** Of a write, in milliseconds: the usual one, and the longest wait beyond it from the first of these to the last. */
  usualMs: z.number(),
  stallMs: z.number(),
  errors: z.array(z.string()),
});
export type TrafficReport = z.infer<typeof trafficReport>;

export const trafficRecord = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  trafficReport,
]);

/** Lines that are something else are the runtime's. */
export function parseTraffic(text: string): readonly z.infer<typeof trafficRecord>[] {
  return text
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => trafficRecord.parse(JSON.parse(line)));
}
