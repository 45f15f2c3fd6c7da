/**
 * manifests/install.yaml is the chart rendered with its defaults, for those who install without Helm.
 *
 *     node hack/install-manifest.ts            # write it
 *     node hack/install-manifest.ts --check    # write nothing; exit 1 where it, or the chart, is not as it should be
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { operatorNamespace } from '#hack/deploy.ts';
import { writeAtomically } from '#hack/once.ts';
import { repoDir } from '#hack/paths.ts';
import { main } from '#hack/progress.ts';
import { run, tryRun } from '#hack/run.ts';
import { ensureTool } from '#hack/tools.ts';
import { kubernetesVersion } from '#hack/versions.ts';

/** Rendered for a fixed release, for what a Helm built from its module believes by itself is an old one. */
const kubeVersion = `--kube-version=${kubernetesVersion}`;
const chart = join(repoDir, 'charts/shardwright');
const path = join(repoDir, 'manifests/install.yaml');

export async function installManifest(): Promise<string> {
  const helm = await ensureTool('helm');
  const rendered = await run(helm, [
    'template',
    'shardwright',
    chart,
    `--namespace=${operatorNamespace}`,
    kubeVersion,
  ]);
  return [
    '# Rendered from charts/shardwright by `make generate`: change the chart.',
    '# kubectl apply --server-side -f install.yaml',
    '---',
    'apiVersion: v1',
    'kind: Namespace',
    'metadata:',
    `  name: ${operatorNamespace}`,
    '  labels:',
    '    pod-security.kubernetes.io/enforce: restricted',
    `${rendered}\n`,
  ].join('\n');
}

/** Undefined when file and chart are in order, else what to tell. */
export async function manifestProblem(): Promise<string | undefined> {
  const helm = await ensureTool('helm');
  const lint = await tryRun(helm, ['lint', '--strict', '--quiet', kubeVersion, chart]);
  if (lint.code !== 0) return `helm lint:\n${lint.stdout}${lint.stderr}`;
  const found = await readFile(path, 'utf8').catch(() => '');
  if (found === (await installManifest())) return undefined;
  return 'manifests/install.yaml is not what charts/shardwright renders: run `make generate` and commit it';
}

if (import.meta.main) {
  await main(async () => {
    if (!process.argv.includes('--check')) {
      await writeAtomically(path, await installManifest());
      return;
    }
    const problem = await manifestProblem();
    if (problem === undefined) return;
    process.stderr.write(`${problem}\n`);
    process.exitCode = 1;
  });
}
