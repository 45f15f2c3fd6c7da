import { expect, test } from 'vitest';
import { clusterWith } from '#controllers/testing/objects.ts';
import { decideFinalizer, FINALIZER } from './finalizer.ts';

const deleted = '2026-01-01T00:00:00Z';

test.each([
  ['Retain', false, undefined, 'Keep'],
  ['Delete', false, undefined, 'Keep'],
  ['Forbid', false, undefined, 'Add'],
  ['Forbid', true, undefined, 'Keep'],
  ['Retain', true, undefined, 'Remove'],
  ['Forbid', true, deleted, 'Refuse'],
  ['Retain', true, deleted, 'Remove'],
  ['Delete', true, deleted, 'Remove'],
  // Deleted before the finalizer could be set: nothing can be added any more.
  ['Forbid', false, deleted, 'Keep'],
])('%s, finalizer %s, deleted %s: %s', (deletionPolicy, has, deletionTimestamp, kind) => {
  const metadata = {
    ...(has ? { finalizers: [FINALIZER] } : {}),
    ...(deletionTimestamp ? { deletionTimestamp } : {}),
  };
  expect(decideFinalizer(clusterWith({ deletionPolicy }, metadata)).kind).toBe(kind);
});
