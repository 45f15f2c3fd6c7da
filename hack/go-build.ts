/**
 * Compiles the pinned Go programs of hack/go into the cache. A program is compiled again only when its module's
 * versions, its link flags or the Go release change, and is put in place whole or not at all.
 */
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { withLock } from '#hack/lock.ts';
import { contentHash, isDone, markDone, type Stamp } from '#hack/once.ts';
import { binDir, cacheDir, repoDir } from '#hack/paths.ts';
import { detail, step } from '#hack/progress.ts';
import { run, tryRun } from '#hack/run.ts';
import { SetupError } from '#hack/setup-error.ts';
import { helmVersion, kubernetesVersion } from '#hack/versions.ts';

interface Program {
  /** Folder under hack/go. */
  readonly module: 'cluster' | 'local-path-provisioner' | 'kwok' | 'versitygw';
  readonly package: string;
  /** What `go build` calls the file, where that is not the program's name. */
  readonly output?: string;
}

const kubernetes = (name: string): Program => ({
  module: 'cluster',
  package: `k8s.io/kubernetes/cmd/${name}`,
});

const programs = {
  'kube-apiserver': kubernetes('kube-apiserver'),
  'kube-controller-manager': kubernetes('kube-controller-manager'),
  'kube-scheduler': kubernetes('kube-scheduler'),
  'kube-proxy': kubernetes('kube-proxy'),
  kubelet: kubernetes('kubelet'),
  kubeadm: kubernetes('kubeadm'),
  kubectl: kubernetes('kubectl'),
  kind: { module: 'cluster', package: 'sigs.k8s.io/kind' },
  etcd: { module: 'cluster', package: 'go.etcd.io/etcd/server/v3', output: 'server' },
  helm: { module: 'cluster', package: 'helm.sh/helm/v3/cmd/helm' },
  coredns: { module: 'cluster', package: './coredns' },
  pause: { module: 'cluster', package: './pause' },
  'local-path-provisioner': {
    module: 'local-path-provisioner',
    package: 'github.com/rancher/local-path-provisioner',
  },
  kwok: { module: 'kwok', package: 'sigs.k8s.io/kwok/cmd/kwok' },
  versitygw: { module: 'versitygw', package: 'github.com/versity/versitygw/cmd/versitygw' },
} as const satisfies Record<string, Program>;

export type GoProgram = keyof typeof programs;

/** Absolute path of a compiled program, which exists once {@link ensureCompiled} has named it. */
export function compiledPath(name: GoProgram): string {
  return join(binDir, name);
}

/** Compiles what is missing of these, what shares a module in one go. */
export async function ensureCompiled(names: readonly GoProgram[]): Promise<void> {
  if ((await missing(names)).length === 0) return;
  await withLock('go-build', async () => {
    const byModule = Map.groupBy(await missing(names), name => programs[name].module);
    for (const [module, wanted] of byModule) {
      const title =
        wanted.length > 3
          ? `compile Kubernetes ${kubernetesVersion} and its company`
          : `compile ${wanted.join(', ')}`;
      await step(title, () => compile(module, wanted));
    }
  });
}

/** True when the binary is there and is what the pinned versions give. */
export async function isCompiled(name: GoProgram): Promise<boolean> {
  const exists = await access(compiledPath(name)).then(
    () => true,
    () => false,
  );
  return exists && (await isDone(await stampOf(name)));
}

async function missing(names: readonly GoProgram[]): Promise<GoProgram[]> {
  const found = await Promise.all(names.map(isCompiled));
  return names.filter((_, index) => !found[index]);
}

async function compile(module: Program['module'], names: readonly GoProgram[]): Promise<void> {
  await requireGo();
  await mkdir(cacheDir, { recursive: true });
  const out = await mkdtemp(join(cacheDir, 'compiling-'));
  let packages = 0;
  try {
    await run(
      'go',
      ['build', '-v', '-trimpath', '-buildvcs=false', `-ldflags=${linkFlags}`, '-o', `${out}/`].concat(
        names.map(name => programs[name].package),
      ),
      {
        cwd: join(repoDir, 'hack/go', module),
        env: goEnvironment,
        onError: lines => {
          packages += lines;
          detail(`${packages} packages`);
        },
      },
    );
    await mkdir(binDir, { recursive: true });
    for (const name of names) {
      const program: Program = programs[name];
      await rename(join(out, program.output ?? name), compiledPath(name));
      await markDone(await stampOf(name));
    }
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

/** A user's own flags or workspace must not change what is compiled. */
const goEnvironment = { CGO_ENABLED: '0', GOFLAGS: '-mod=readonly', GOWORK: 'off' };

/** kubeadm refuses a control plane whose version it does not know, and a build from modules carries none. */
const linkFlags = ['-s', '-w']
  .concat(
    ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap(path => [
      `-X ${path}.gitVersion=${kubernetesVersion}`,
      `-X ${path}.gitMajor=${kubernetesVersion.slice(1).split('.')[0]}`,
      `-X ${path}.gitMinor=${kubernetesVersion.slice(1).split('.')[1]}`,
      `-X ${path}.gitTreeState=clean`,
    ]),
    `-X helm.sh/helm/v3/internal/version.version=${helmVersion}`,
  )
  .join(' ');

async function stampOf(name: GoProgram): Promise<Stamp> {
  const program: Program = programs[name];
  const folder = join(repoDir, 'hack/go', program.module);
  const files = ['go.sum'].concat(program.package.startsWith('./') ? [join(program.package, 'main.go')] : []);
  const contents = await Promise.all(files.map(file => readFile(join(folder, file))));
  return { name: `bin-${name}`, hash: contentHash([program.package, linkFlags, ...contents]) };
}

async function requireGo(): Promise<void> {
  const found = await tryRun('go', ['version'], { env: goEnvironment });
  if (found.code === 0) return;
  throw new SetupError(
    'NoGo',
    'Go is not installed, and Kubernetes is compiled from its sources where no image can be pulled',
    'install Go 1.25 or newer so that `go version` works, or make an image registry reachable for Docker',
  );
}
