import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { repoDir } from './paths.ts';
import { helmVersion, kubernetesVersion, publicNodeImage } from './versions.ts';

const pinned = readFileSync(join(repoDir, 'hack/go/cluster/go.mod'), 'utf8');

function pinnedVersion(module: string): string | undefined {
  return new RegExp(`^\\s*${module} (v\\S+)`, 'm').exec(pinned)?.[1];
}

test('the versions named here are those that are compiled', () => {
  expect(pinnedVersion('k8s.io/kubernetes')).toBe(kubernetesVersion);
  expect(pinnedVersion('helm.sh/helm/v3')).toBe(helmVersion);
});

test('public images are of the same minor version of Kubernetes', () => {
  const minor = kubernetesVersion.split('.').slice(0, 2).join('.');
  expect(publicNodeImage).toContain(`kindest/node:${minor}.`);
});
