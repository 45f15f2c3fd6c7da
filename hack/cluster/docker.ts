/** The Docker engine: asked whether it answers and can pull, and installed and started where there is none. */
import { spawn } from 'node:child_process';
import { access, copyFile, mkdir, open, readFile, rm, statfs, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { binDir, cacheDir, logDir } from '#hack/paths.ts';
import { step } from '#hack/progress.ts';
import { run, tryRun, which } from '#hack/run.ts';
import { SetupError } from '#hack/setup-error.ts';

const debianClient = '/usr/bin/docker';
const neededDiskGiB = 12;

/** True when a client here and an engine understand each other. A client of Debian's own is taken where PATH's is too new. */
export async function engineAnswers(): Promise<boolean> {
  if (await answers('docker')) return true;
  if (!(await answers(debianClient))) return false;
  await mkdir(binDir, { recursive: true });
  await rm(join(binDir, 'docker'), { force: true });
  await symlink(debianClient, join(binDir, 'docker'));
  return true;
}

async function answers(client: string): Promise<boolean> {
  const result = await tryRun(client, ['version', '--format', '{{.Server.Version}}'], { timeoutMs: 10_000 });
  return result.code === 0;
}

/** True when the engine can fetch an image. The smallest one is asked for, so a slow line does not look like none. */
export async function enginePulls(): Promise<boolean> {
  const result = await tryRun('docker', ['pull', '--quiet', 'hello-world'], { timeoutMs: 30_000 });
  return result.code === 0;
}

/** Installs and starts what is missing, from Debian packages. */
export async function ensureEngine(): Promise<void> {
  await requireDisk();
  if (await engineAnswers()) return;
  await step('install and start a Docker engine', async () => {
    requireRoot();
    await installPackages();
    await startEngine();
  });
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new SetupError(
    'NotRoot',
    'no Docker engine answers, and installing one takes root',
    'run the same command as root, or start Docker and see that `docker version` works for you',
  );
}

/** What a Docker engine and a base image take, each asked for by itself: any of them may be there already. */
const packages: readonly (readonly [command: string, debianPackage: string])[] = [
  ['dockerd', 'docker.io'],
  ['containerd', 'containerd'],
  ['runc', 'runc'],
  ['iptables', 'iptables'],
  ['mmdebstrap', 'mmdebstrap'],
];

async function installPackages(): Promise<void> {
  const absent: string[] = [];
  for (const [command, debianPackage] of packages) if (!(await which(command))) absent.push(debianPackage);
  if (absent.length > 0) await installDebian(absent);
  // Debian 13 split the client off.
  if (!(await which('docker'))) await installDebian(['docker-cli']);
}

async function installDebian(names: readonly string[]): Promise<void> {
  if (!(await which('apt-get'))) {
    throw new SetupError(
      'NoPackageManager',
      `apt-get is missing, so ${names.join(', ')} cannot be installed`,
      'install Docker yourself and see that `docker version` works',
    );
  }
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update', '-qq'], { env });
  await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...names], { env });
}

/** mmdebstrap is needed for base images also where the engine was there before. */
export async function ensureDebootstrap(): Promise<void> {
  if (await which('mmdebstrap')) return;
  requireRoot();
  await installDebian(['mmdebstrap']);
}

async function startEngine(): Promise<void> {
  if (process.env['DOCKER_HOST']) {
    throw new SetupError(
      'EngineFailed',
      `DOCKER_HOST is ${process.env['DOCKER_HOST']}, and no engine answers there`,
      'start that engine, or unset DOCKER_HOST to have one started here',
    );
  }
  await removeDeadPidFile();
  await mkdir(logDir, { recursive: true });
  const logPath = join(logDir, 'dockerd.log');
  const log = await open(logPath, 'a');
  const child = spawn('dockerd', await engineArguments(), {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  });
  const ended = new AbortController();
  child.once('error', () => ended.abort());
  child.once('exit', () => ended.abort());
  child.unref();
  await log.close();
  for (let tries = 0; tries < 60 && !ended.signal.aborted; tries++) {
    if (await engineAnswers()) return;
    await sleep(500);
  }
  const tail = (await readFile(logPath, 'utf8')).trimEnd().split('\n').slice(-10).join('\n');
  throw new SetupError(
    'EngineFailed',
    `dockerd does not start:\n${tail}`,
    `mend what ${logPath} complains of`,
  );
}

/** A number left by an earlier boot may meanwhile belong to another program, which dockerd takes for itself. */
async function removeDeadPidFile(): Promise<void> {
  const path = '/var/run/docker.pid';
  const pid = (await readFile(path, 'utf8').catch(() => '')).trim();
  if (pid === '') return;
  const name = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
  if (name !== 'dockerd') await rm(path, { force: true });
}

const capSysResource = 24n;

/**
 * Where this machine itself lacks CAP_SYS_RESOURCE, no privileged container starts: runc is asked for every capability
 * there is. A wrapper that leaves this one out of the request is registered as the default runtime.
 */
async function engineArguments(): Promise<string[]> {
  const status = await readFile('/proc/self/status', 'utf8');
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? 'ffffffffffffffff'}`);
  if ((bounding >> capSysResource) & 1n) return [];
  // Not in the cache: the engine calls it for as long as it runs.
  const wrapper = '/usr/local/sbin/runc-available-capabilities';
  await copyFile(join(import.meta.dirname, 'runc-available-capabilities'), wrapper);
  return ['--add-runtime', `available=${wrapper}`, '--default-runtime', 'available'];
}

async function requireDisk(): Promise<void> {
  await mkdir(cacheDir, { recursive: true });
  const exists = await access(join(cacheDir, 'bin', 'kubelet')).then(
    () => true,
    () => false,
  );
  // Most of it is for compiling; what was made once takes little more.
  const needed = exists ? 2 : neededDiskGiB;
  const disk = await statfs(cacheDir);
  const freeGiB = (disk.bavail * disk.bsize) / 2 ** 30;
  if (freeGiB >= needed) return;
  throw new SetupError(
    'DiskFull',
    `${freeGiB.toFixed(1)} GiB are free under ${cacheDir}; ${needed} GiB are needed`,
    'free some space, or set XDG_CACHE_HOME to a folder on a larger disk',
  );
}
