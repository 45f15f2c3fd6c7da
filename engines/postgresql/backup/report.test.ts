import { expect, test } from 'vitest';
import { parseReport } from './report.ts';

const base = { kind: 'Backup', request: 'r', at: '2026-11-21T20:00:00Z', state: 'Running', type: 'full' };

function parse(text: string | undefined) {
  return parseReport({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'j', ...(text !== undefined && { annotations: { 'shardwright.io/report': text } }) },
  });
}

test('what fits is read, what a later version adds is left out', () => {
  expect(parse(JSON.stringify({ ...base, doneBytes: 5, more: true }))).toEqual({ ...base, doneBytes: 5 });
});

test.each([
  undefined,
  '',
  '{',
  'null',
  JSON.stringify({ ...base, kind: 'Other' }),
  JSON.stringify({ ...base, at: 'yesterday' }),
  JSON.stringify({ ...base, doneBytes: -1 }),
])('what does not fit is no report: %s', text => {
  expect(parse(text)).toBeUndefined();
});

test('a cause is one line of bounded length', () => {
  const failure = `first\n\tsecond ${'x'.repeat(5000)}`;
  const read = parse(JSON.stringify({ ...base, state: 'Failed', failure }));
  expect(read).toMatchObject({ failure: expect.stringMatching(/^first second x+$/) });
  expect(JSON.stringify(read).length).toBeLessThan(1500);
});
