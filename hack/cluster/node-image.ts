/**
 * kind's node image made from compiled programs and Debian packages alone. `kind build node-image` does the last step:
 * it pulls nothing when every image that a node needs is already in the archives it is given.
 */

import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import {
  chmod,
  copyFile,
  cp,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { ensureDebianImage, imageExists } from '#hack/cluster/debian.ts';
import { compiledPath, ensureCompiled, type GoProgram } from '#hack/go-build.ts';
import { withLock } from '#hack/lock.ts';
import { contentHash } from '#hack/once.ts';
import { cacheDir, repoDir } from '#hack/paths.ts';
import { step } from '#hack/progress.ts';
import { run } from '#hack/run.ts';
import { SetupError } from '#hack/setup-error.ts';
import { kubernetesVersion } from '#hack/versions.ts';

const nodeFiles = join(import.meta.dirname, 'node');

const controlPlane = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const;
const programs: readonly GoProgram[] = [
  ...controlPlane,
  'kube-proxy',
  'kubelet',
  'kubeadm',
  'kubectl',
  'kind',
  'etcd',
  'coredns',
  'pause',
  'helm',
  'local-path-provisioner',
];

/** To be raised when the steps below give another image from the same files. */
const recipe = '1';

/** Reference of the node image in the local engine; made when its inputs have changed, minutes the first time. */
export async function ensureNodeImage(): Promise<string> {
  const reference = `shardwright/node:${kubernetesVersion}-${await inputHash()}`;
  if (await imageExists(reference)) return reference;
  await withLock('node-image', async () => {
    if (await imageExists(reference)) return;
    const base = `${reference}-base`;
    // Compiling takes the processors, packages mostly the network: together they take little longer than one.
    const packages = ensureDebianImage().then(() => buildBase(base));
    const [compiled, based] = await Promise.allSettled([ensureCompiled(programs), packages]);
    for (const outcome of [compiled, based]) if (outcome.status === 'rejected') throw outcome.reason;
    await step('build the node image', () => assemble(base, reference));
  });
  return reference;
}

async function inputHash(): Promise<string> {
  const files = (await readdir(nodeFiles)).toSorted();
  const sums = ['cluster', 'local-path-provisioner'].map(module =>
    join(repoDir, 'hack/go', module, 'go.sum'),
  );
  const paths = [...files.map(file => join(nodeFiles, file)), ...sums];
  return contentHash([recipe, ...(await Promise.all(paths.map(path => readFile(path))))]).slice(0, 10);
}

async function kindSources(): Promise<string> {
  return run('go', ['list', '-m', '-f', '{{.Dir}}', 'sigs.k8s.io/kind'], {
    cwd: join(repoDir, 'hack/go/cluster'),
    env: { GOFLAGS: '-mod=readonly', GOWORK: 'off' },
  });
}

async function buildBase(tag: string): Promise<void> {
  if (await imageExists(tag)) return;
  await step('build the base of the node image', async () => {
    await run('go', ['mod', 'download', 'sigs.k8s.io/kind'], { cwd: join(repoDir, 'hack/go/cluster') });
    await inScratch(async context => {
      await cp(join(await kindSources(), 'images/base/files'), join(context, 'files'), { recursive: true });
      await copyFile(join(nodeFiles, 'Dockerfile'), join(context, 'Dockerfile'));
      await dockerBuild(tag, context);
    });
  });
}

async function dockerBuild(tag: string, context: string, file = 'Dockerfile'): Promise<void> {
  await run('docker', ['build', '--network', 'host', '--tag', tag, '--file', join(context, file), context]);
}

/** Names that the rest of kind and kubeadm know the system images by. */
interface SystemImages {
  readonly etcd: string;
  /** Carries the tag that kubeadm of this release asks for, whatever the version compiled. */
  readonly coredns: string;
  readonly pause: string;
  readonly network: string;
  readonly provisioner: string;
  readonly volumeHelper: string;
}

async function systemImages(): Promise<SystemImages> {
  const kind = await kindSources();
  const list = await run(compiledPath('kubeadm'), [
    'config',
    'images',
    'list',
    `--kubernetes-version=${kubernetesVersion}`,
  ]);
  const containerd = await readFile(join(kind, 'images/base/files/etc/containerd/config.toml'), 'utf8');
  const network = await readFile(join(kind, 'pkg/build/nodeimage/const_cni.go'), 'utf8');
  const storage = await readFile(join(kind, 'pkg/build/nodeimage/const_storage.go'), 'utf8');
  return {
    etcd: match(list, /^\S+\/etcd:\S+$/m),
    coredns: match(list, /^\S+\/coredns:\S+$/m),
    pause: match(containerd, /[\w.]+\/pause:[\w.]+/),
    network: match(network, /[\w.]+\/kindest\/kindnetd:[\w.-]+/),
    provisioner: match(storage, /[\w.]+\/kindest\/local-path-provisioner:[\w.-]+/),
    volumeHelper: match(storage, /[\w.]+\/kindest\/local-path-helper:[\w.-]+/),
  };
}

function match(text: string, pattern: RegExp): string {
  const found = pattern.exec(text)?.[0];
  if (found) return found;
  throw new SetupError(
    'ClusterFailed',
    `kind's sources name no image like ${pattern.source}`,
    'the pinned version of kind in hack/go/cluster has changed its layout: adapt hack/cluster/node-image.ts',
  );
}

async function assemble(base: string, reference: string): Promise<void> {
  await inScratch(async scratch => {
    const images = await systemImages();
    const server = join(scratch, 'kubernetes/server/bin');
    await mkdir(server, { recursive: true });
    for (const name of controlPlane) {
      const image = `registry.k8s.io/${name}:${kubernetesVersion}`;
      await importProgram(image, name, []);
      await run('docker', ['save', '--output', join(server, `${name}.tar`), image]);
    }
    await importProgram(images.etcd, 'etcd', []);
    await importProgram(images.coredns, 'coredns', ['ENTRYPOINT ["/usr/local/bin/coredns"]']);
    await importProgram(images.pause, 'pause', ['ENTRYPOINT ["/usr/local/bin/pause"]']);
    await importProgram(images.provisioner, 'local-path-provisioner', []);
    const proxy = `registry.k8s.io/kube-proxy:${kubernetesVersion}`;
    await buildComponents(scratch, [proxy, images.network, images.volumeHelper]);
    await saveWithFullNames(join(server, 'kube-proxy.tar'), [proxy, ...Object.values(images)]);
    for (const name of ['kubeadm', 'kubelet', 'kubectl'] as const)
      await linkOrCopy(compiledPath(name), join(server, name));
    await writeFile(join(scratch, 'kubernetes/version'), `${kubernetesVersion}\n`);
    const archive = join(scratch, 'server.tar.gz');
    await packUncompressed(scratch, 'kubernetes', archive);
    await run(
      compiledPath('kind'),
      ['build', 'node-image', '--type=file', `--base-image=${base}`, `--image=${reference}`, archive],
      { env: { TMPDIR: scratch } },
    );
    await run(
      'docker',
      ['rmi', proxy, ...Object.values(images)].concat(
        controlPlane.map(name => `registry.k8s.io/${name}:${kubernetesVersion}`),
      ),
    );
  });
}

/** An image of one static program, without a build: its only layer is the program. */
async function importProgram(image: string, program: GoProgram, changes: readonly string[]): Promise<void> {
  const all = ['ENV PATH=/usr/local/bin', ...changes].flatMap(change => ['--change', change]);
  await run('docker', ['import', ...all, '-', image], {
    from: [
      'tar',
      '--create',
      '--directory',
      join(compiledPath(program), '..'),
      '--owner=0',
      '--group=0',
      '--transform=s,^,usr/local/bin/,',
      program,
    ],
  });
}

async function buildComponents(scratch: string, tags: readonly [string, ...string[]]): Promise<void> {
  const context = join(scratch, 'components');
  await mkdir(context);
  await linkOrCopy(compiledPath('kube-proxy'), join(context, 'kube-proxy'));
  await copyFile(join(nodeFiles, 'pod-network'), join(context, 'pod-network'));
  await chmod(join(context, 'pod-network'), 0o755);
  await copyFile(join(nodeFiles, 'components.Dockerfile'), join(context, 'components.Dockerfile'));
  await dockerBuild(tags[0], context, 'components.Dockerfile');
  for (const tag of tags.slice(1)) await run('docker', ['tag', tags[0], tag]);
}

/**
 * kind reads the names in an archive as they stand and only from the first entry that has any, while `docker save`
 * shortens those of Docker Hub and puts a file with one image's names first: both are put right.
 */
async function saveWithFullNames(path: string, images: readonly string[]): Promise<void> {
  const folder = `${path}.d`;
  await mkdir(folder);
  await run('tar', ['--extract', '--directory', folder], { from: ['docker', 'save', ...images] });
  for (const file of ['repositories', 'manifest.json']) {
    const text = await readFile(join(folder, file), 'utf8');
    await writeFile(join(folder, file), text.replaceAll('"kindest/', '"docker.io/kindest/'));
  }
  const rest = (await readdir(folder)).filter(entry => entry !== 'repositories');
  await run('tar', ['--create', '--file', path, '--directory', folder, 'repositories', ...rest]);
  await rm(folder, { recursive: true });
}

/** kind wants a gzip archive, and reads it once, here: squeezing it would cost a minute for nothing. */
async function packUncompressed(folder: string, entry: string, path: string): Promise<void> {
  const tar = spawn('tar', ['--create', '--directory', folder, entry], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await pipeline(tar.stdout, createGzip({ level: 0 }), createWriteStream(path));
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to));
}

async function inScratch(work: (folder: string) => Promise<void>): Promise<void> {
  await mkdir(cacheDir, { recursive: true });
  const folder = await mkdtemp(join(cacheDir, 'building-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
