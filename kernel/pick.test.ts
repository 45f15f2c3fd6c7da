import { expect, it } from 'vitest';
import { pick } from '#kernel/pick.ts';

it('keeps identity and the chosen fields only', () => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', managedFields: [{}] },
    spec: { nodeName: 'n', containers: [{ name: 'large' }] },
    status: { phase: 'Running', conditions: [{ type: 'Ready' }], hostIP: 'x' },
  };
  const slim = pick('spec.nodeName', 'status.phase', 'status.conditions', 'status.absent.field');
  expect(slim(pod)).toEqual({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a' },
    spec: { nodeName: 'n' },
    status: { phase: 'Running', conditions: [{ type: 'Ready' }] },
  });
});
