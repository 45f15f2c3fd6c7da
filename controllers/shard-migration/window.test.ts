import { expect, it } from 'vitest';
import { windowAt } from './window.ts';

const at = (time: string) => new Date(`2026-11-21T${time}Z`); // a Saturday

it.each([
  ['* 1-4 * * *', '01:00:00', true],
  ['* 1-4 * * *', '04:59:59.9', true],
  ['* 1-4 * * *', '05:00:00', false],
  ['* 1-4 * * *', '00:59:59', false],
  ['*/15 * * * *', '10:30:40', true],
  ['*/15 * * * *', '10:31:00', false],
  ['* * * * 6', '12:00:00', true],
  ['* * * * MON-FRI', '12:00:00', false],
])('%s at %s: %s', (cron, time, open) => {
  expect(windowAt(cron, at(time))?.open).toBe(open);
});

it('says when it opens next', () => {
  expect(windowAt('0 2 * * *', at('12:00:00'))?.opens).toEqual(new Date('2026-11-22T02:00:00Z'));
});

it('knows what is no window', () => {
  expect(windowAt('0 2 * * FOO', at('12:00:00'))).toBeUndefined();
});
