import { expect, test } from 'vitest';
import { type ManagedFields, movedToApply } from './ownership.ts';

const entry = (over: Partial<ManagedFields>): ManagedFields => ({
  manager: 'ours',
  operation: 'Update',
  fieldsV1: { 'f:data': { 'f:a': {} } },
  ...over,
});

test('what was created becomes as if applied, whatever others own', () => {
  const theirs = entry({ manager: 'theirs' });
  expect(movedToApply([theirs, entry({})], 'ours')).toEqual([theirs, entry({ operation: 'Apply' })]);
});

test('two entries become one that has the fields of both', () => {
  const applied = entry({ operation: 'Apply', fieldsV1: { 'f:data': { '.': {}, 'f:b': {} }, 'f:x': {} } });
  expect(movedToApply([entry({}), applied], 'ours')).toEqual([
    entry({ operation: 'Apply', fieldsV1: { 'f:data': { '.': {}, 'f:a': {}, 'f:b': {} }, 'f:x': {} } }),
  ]);
});

test.each([
  ['nothing is ours', [entry({ manager: 'theirs' })]],
  ['it was applied', [entry({ operation: 'Apply' })]],
  ['only the status was updated', [entry({ subresource: 'status' })]],
  ['there are none', []],
])('nothing to move: %s', (_what, entries) => {
  expect(movedToApply(entries, 'ours')).toBeUndefined();
});
