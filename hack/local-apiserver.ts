/**
 * One real kube-apiserver with its etcd, on random loopback ports in a temporary folder, ready in some seconds. RBAC is on,
 * and there is nothing else: no scheduler, no kubelet, no garbage collection, so pods stay Pending, children of a
 * deleted owner stay, and a deleted namespace stays Terminating. Both processes end with the process that started them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureTool } from '#hack/tools.ts';
import type { Authenticator } from '#kernel/auth.ts';
import { KubeClient } from '#kernel/kube-client.ts';

/** What a client needs; plain data, so that it travels between processes. */
export interface ApiServerAccess {
  readonly url: string;
  /** Of a member of system:masters. */
  readonly token: string;
  /** PEM. */
  readonly ca: string;
  readonly kubeconfigPath: string;
}

const readyWithinMs = 90_000;
const stopWithinMs = 10_000;

export function accessAuth(access: ApiServerAccess, token: string = access.token): Authenticator {
  return {
    server: new URL(access.url),
    namespace: 'default',
    credentials: () =>
      Promise.resolve({ tls: { ca: access.ca }, headers: { authorization: `Bearer ${token}` } }),
  };
}

export class LocalApiServer {
  readonly access: ApiServerAccess;
  readonly #dir: string;
  readonly #args: readonly string[];
  readonly #etcd: ChildProcess;
  #server: ChildProcess;

  private constructor(
    access: ApiServerAccess,
    dir: string,
    args: readonly string[],
    etcd: ChildProcess,
    server: ChildProcess,
  ) {
    this.access = access;
    this.#dir = dir;
    this.#args = args;
    this.#etcd = etcd;
    this.#server = server;
  }

  static async start(options: { readonly serverFlags?: readonly string[] } = {}): Promise<LocalApiServer> {
    const dir = await mkdtemp(join(tmpdir(), 'shardwright-apiserver-'));
    const [clientPort, peerPort, port] = await freePorts(3);
    const etcdUrl = `http://127.0.0.1:${clientPort}`;
    const peerUrl = `http://127.0.0.1:${peerPort}`;
    const etcd = await run(dir, 'etcd', [
      `--data-dir=${join(dir, 'etcd')}`,
      `--listen-client-urls=${etcdUrl}`,
      `--advertise-client-urls=${etcdUrl}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=default=${peerUrl}`,
      // A test's data need not survive a power cut.
      '--unsafe-no-fsync',
      '--log-level=warn',
    ]);
    const token = randomBytes(16).toString('hex');
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    await Promise.all([
      mkdir(join(dir, 'certs')),
      writeFile(join(dir, 'sa.key'), privateKey, { mode: 0o600 }),
      writeFile(join(dir, 'tokens.csv'), `${token},admin,admin,"system:masters"\n`, { mode: 0o600 }),
    ]);
    const args = [
      `--etcd-servers=${etcdUrl}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      // A self-signed certificate for the bind address is made here.
      `--cert-dir=${join(dir, 'certs')}`,
      `--token-auth-file=${join(dir, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--disable-admission-plugins=ServiceAccount',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${join(dir, 'sa.key')}`,
      `--service-account-signing-key-file=${join(dir, 'sa.key')}`,
      '--service-cluster-ip-range=10.96.0.0/16',
      '--endpoint-reconciler-type=none',
      // Tests create in bursts; two cores are shared with the tests themselves.
      '--max-requests-inflight=800',
      '--max-mutating-requests-inflight=400',
      ...(options.serverFlags ?? []),
    ];
    try {
      const server = await run(dir, 'kube-apiserver', args);
      const ca = await readWhenThere(join(dir, 'certs', 'apiserver.crt'), server);
      const access = {
        url: `https://127.0.0.1:${port}`,
        token,
        ca,
        kubeconfigPath: join(dir, 'kubeconfig'),
      };
      await writeFile(access.kubeconfigPath, kubeconfig(access), { mode: 0o600 });
      const local = new LocalApiServer(access, dir, args, etcd, server);
      await local.#ready();
      return local;
    } catch (error) {
      etcd.kill('SIGKILL');
      throw error;
    }
  }

  /** A sudden death, as by the kernel: open connections break without a word from the server. */
  async kill(): Promise<void> {
    await end(this.#server, 'SIGKILL');
  }

  /** Stops the server's process without ending its connections: they are silent until {@link resume}. */
  freeze(): void {
    this.#server.kill('SIGSTOP');
  }

  resume(): void {
    this.#server.kill('SIGCONT');
  }

  /** After {@link kill}: the same server at the same address. */
  async startAgain(): Promise<void> {
    this.#server = await run(this.#dir, 'kube-apiserver', this.#args);
    await this.#ready();
  }

  async stop(): Promise<void> {
    this.resume();
    // Nothing in there is worth a graceful stop, which takes the server more than a minute with open watches.
    await Promise.all([end(this.#server, 'SIGKILL'), end(this.#etcd, 'SIGKILL')]);
    await rm(this.#dir, { recursive: true, force: true });
  }

  async #ready(): Promise<void> {
    const client = new KubeClient({ auth: accessAuth(this.access) });
    const deadline = Date.now() + readyWithinMs;
    try {
      for (;;) {
        try {
          // The namespace is made by a start hook that readyz does not wait for.
          await client.raw('/readyz', { deadlineMs: 2000 });
          await client.raw('/api/v1/namespaces/default', { deadlineMs: 2000 });
          return;
        } catch (cause) {
          if (Date.now() > deadline || this.#server.exitCode !== null) {
            const log = await readFile(join(this.#dir, 'kube-apiserver.log'), 'utf8');
            throw new Error(`kube-apiserver is not ready; its last lines:\n${log.slice(-3000)}`, { cause });
          }
          await sleep(100);
        }
      }
    } finally {
      client.close();
    }
  }
}

/** A binary from `SHARDWRIGHT_KUBE_BIN` (a folder with `etcd` and `kube-apiserver`), else found or made by tools.ts. */
function binary(name: 'etcd' | 'kube-apiserver'): Promise<string> {
  const folder = process.env['SHARDWRIGHT_KUBE_BIN'];
  return folder ? Promise.resolve(join(folder, name)) : ensureTool(name);
}

async function run(
  dir: string,
  name: 'etcd' | 'kube-apiserver',
  args: readonly string[],
): Promise<ChildProcess> {
  const child = spawn(await binary(name), args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
  const log = createWriteStream(join(dir, `${name}.log`), { flags: 'a' });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  child.once('exit', () => {
    process.removeListener('exit', onExit);
    log.end();
  });
  await once(child, 'spawn');
  return child;
}

async function end(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit', { signal: AbortSignal.timeout(stopWithinMs) });
  child.kill(signal);
  await ended;
}

async function readWhenThere(path: string, writer: ChildProcess): Promise<string> {
  for (const deadline = Date.now() + readyWithinMs; ; ) {
    try {
      const text = await readFile(path, 'utf8');
      if (text.trimEnd().endsWith('-----END CERTIFICATE-----')) return text;
    } catch (cause) {
      if (Date.now() > deadline || writer.exitCode !== null) throw cause;
    }
    await sleep(50);
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map(server => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map(server => once(server.close(), 'close')));
  return ports;
}

function kubeconfig(access: Omit<ApiServerAccess, 'kubeconfigPath'>): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [
      {
        name: 'test',
        cluster: {
          server: access.url,
          'certificate-authority-data': Buffer.from(access.ca).toString('base64'),
        },
      },
    ],
    users: [{ name: 'admin', user: { token: access.token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin', namespace: 'default' } }],
  });
}
