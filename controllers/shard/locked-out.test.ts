import { expect, test } from 'vitest';
import { member } from '#controllers/testing/objects.ts';
import type { KubeObject } from '#kernel/object.ts';
import { markLockedOut } from './locked-out.ts';

const made = (name: string, creationTimestamp?: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...(creationTimestamp ? { creationTimestamp } : {}) },
});
const account = made('s', '2026-01-01T10:00:00Z');
const members = [member('s-0', { role: 'primary' }), member('s-1')];

test('members that are older than their ServiceAccount are locked out, and so outdated', () => {
  const pods = [made('s-0', '2026-01-01T09:59:59Z'), made('s-1', '2026-01-01T10:00:01Z')];
  expect(markLockedOut(members, pods, account)).toEqual([
    { ...members[0], outdated: true, lockedOut: true },
    members[1],
  ]);
});

test.each([
  ['one of the same second is not', [made('s-0', '2026-01-01T10:00:00Z')], account],
  ['nobody is while there is no ServiceAccount', [made('s-0', '2026-01-01T09:00:00Z')], undefined],
  ['nobody is of whose age nothing is known', [made('s-0')], account],
])('%s', (_what, pods, serviceAccount) => {
  expect(markLockedOut(members, pods, serviceAccount)).toEqual(members);
});
