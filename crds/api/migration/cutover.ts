/** When and how ownership may change. */
import { z } from 'zod';
import { cron, duration, quantity } from '../common.ts';

export const cutover = z.object({
  mode: z
    .enum(['Automatic', 'Manual'])
    .default('Automatic')
    .describe(
      '`Automatic`: as soon as it is safe, inside `window`. `Manual`: when `approved` is set, or the annotation shardwright.io/cutover.',
    ),
  approved: z.boolean().default(false).describe('With mode Manual: go ahead.'),
  maxLag: quantity.prefault('1Mi').describe('Write-ahead log still to be copied at which owners may switch.'),
  lockTimeout: duration.default('300ms').describe('Longest wait for a lock before another attempt.'),
  maxWriteStall: duration
    .default('1s')
    .describe('Longest time that writes may wait; beyond it the attempt is undone, and made again later.'),
  window: cron
    .exactOptional()
    .describe('Minutes in which an automatic cutover may start, as cron fields in UTC: "* 1-4 * * *".'),
});
