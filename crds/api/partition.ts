/**
 * What a shard owns, as it stands in Shard.spec: the same plain JSON as in the shard map and in the database's own row. A CRD
 * cannot hold a tagged union, so the API server checks the loose form with rules, and parsing gives the strict one.
 */
import { z } from 'zod';
import { keyValue, regionName } from './common.ts';
import { listAtomic, withRules } from './rules.ts';

const slot = z.int().min(0).max(1_048_575);
const slotCount = z.int().min(256).max(1_048_576);

const strictSlotRanges = z.array(z.object({ first: slot, last: slot }).readonly()).readonly();

const strict = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('slots'), slots: slotCount, ranges: strictSlotRanges }),
  z.object({
    kind: z.literal('keys'),
    ranges: z
      .array(z.object({ from: z.string().exactOptional(), to: z.string().exactOptional() }).readonly())
      .readonly(),
  }),
  z.object({ kind: z.literal('directory'), entries: z.array(z.string()).readonly(), fallback: z.boolean() }),
  z.object({
    kind: z.literal('regions'),
    slots: slotCount,
    regions: z.array(z.object({ region: z.string(), ranges: strictSlotRanges }).readonly()).readonly(),
  }),
]);

export type ShardPartition = z.infer<typeof strict>;

const slotRanges = listAtomic(
  z
    .array(
      z.object({ first: slot.describe('First slot.'), last: slot.describe('Last slot, itself included.') }),
    )
    .max(16_384),
);

const loose = withRules(
  z.object({
    kind: z
      .enum(['slots', 'keys', 'directory', 'regions'])
      .describe('Which of the other fields are in use: it follows from the fleet’s algorithm.'),
    slots: slotCount.exactOptional().describe('Slots of the fleet. With slots and regions.'),
    ranges: listAtomic(
      z
        .array(
          z.object({
            first: slot.exactOptional().describe('First slot. With slots.'),
            last: slot.exactOptional().describe('Last slot, itself included. With slots.'),
            from: keyValue.exactOptional().describe('First key; from the least if absent. With keys.'),
            to: keyValue.exactOptional().describe('First key beyond; to the greatest if absent. With keys.'),
          }),
        )
        .max(16_384),
    )
      .exactOptional()
      .describe('What it owns. With slots and keys.'),
    entries: listAtomic(z.array(keyValue).max(4096))
      .exactOptional()
      .describe('Keys that it owns. With directory.'),
    fallback: z.boolean().exactOptional().describe('Owns all keys without an entry. With directory.'),
    regions: listAtomic(
      z
        .array(
          z.object({
            region: regionName.describe('The region.'),
            ranges: slotRanges.describe('Slots of it.'),
          }),
        )
        .max(32),
    )
      .exactOptional()
      .describe('Regions, with the slots of each. With regions.'),
  }),
  {
    rule: "self.kind == 'directory' ? has(self.entries) && has(self.fallback) : self.kind == 'regions' ? has(self.regions) && has(self.slots) : has(self.ranges) && (self.kind == 'keys' || has(self.slots))",
    message:
      'slots needs slots and ranges, keys needs ranges, directory needs entries and fallback, regions needs slots and regions',
  },
);

export const partition = loose.transform((value, context): ShardPartition => {
  const result = strict.safeParse(value);
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    context.addIssue({ code: 'custom', message: issue.message, path: [...issue.path] });
  }
  return z.NEVER;
});
