/* oxlint-disable typescript/no-unsafe-type-assertion -- objects with only what is read */
import { describe, expect, test } from 'vitest';
import { parseQuantity } from '#controllers/quantity.ts';
import type { PersistentVolumeClaim, StatefulSet, StorageClass } from '#kernel/resources.ts';
import { decideVolumes } from './volumes.ts';

const claim = (name: string, storage: string, storageClassName = 'growing'): PersistentVolumeClaim => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name },
  spec: { storageClassName, resources: { requests: { storage } } },
});

const statefulSet = (storage: string) =>
  ({
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 's' },
    spec: { volumeClaimTemplates: [claim('data', storage)] },
  }) as unknown as StatefulSet;

const storageClass = (name: string) =>
  ({ metadata: { name }, allowVolumeExpansion: name === 'growing' }) as unknown as StorageClass;

const decide = (template: string, size: string, claims: PersistentVolumeClaim[]) =>
  decideVolumes({ statefulSet: statefulSet(template), size, claims, storageClass });

describe('volumes', () => {
  test('fit when the sizes are equal, however they are written', () => {
    expect(decide('1Gi', '1024Mi', [claim('data-s-0', '1Gi')])).toEqual({ kind: 'Fits' });
  });

  test('fit before there is a StatefulSet', () => {
    expect(decideVolumes({ statefulSet: undefined, size: '1Gi', claims: [], storageClass }).kind).toBe(
      'Fits',
    );
  });

  test('grow, and the StatefulSet is made again', () => {
    const claims = [claim('data-s-0', '1Gi'), claim('data-s-1', '2Gi')];
    expect(decide('1Gi', '2Gi', claims)).toEqual({ kind: 'Grow', claims: [claims[0]], recreate: true });
  });

  test('grow a claim that was left behind, without making the StatefulSet again', () => {
    expect(decide('2Gi', '2Gi', [claim('data-s-0', '1Gi')])).toMatchObject({ kind: 'Grow', recreate: false });
  });

  test('never shrink', () => {
    expect(decide('2Gi', '1Gi', [])).toMatchObject({
      kind: 'Refused',
      reason: 'VolumesCannotShrink',
      size: '2Gi',
    });
  });

  test('do not grow where the class does not allow it', () => {
    const step = decide('1Gi', '2Gi', [claim('data-s-0', '1Gi', 'fixed')]);
    expect(step).toMatchObject({ kind: 'Refused', reason: 'VolumesCannotGrow', size: '1Gi' });
    expect(step).toHaveProperty(
      'message',
      expect.stringContaining('StorageClass fixed has no allowVolumeExpansion'),
    );
  });
});

test.each([
  ['1', 1],
  ['500m', 0.5],
  ['1Ki', 1024],
  ['1.5Gi', 1.5 * 2 ** 30],
  ['2e3', 2000],
  ['1E', 1e18],
  ['12kb', undefined],
  ['', undefined],
])('quantity %s', (text, amount) => {
  expect(parseQuantity(text)).toBe(amount);
});
