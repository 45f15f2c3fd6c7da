/**
 * A real S3 server for tests: versitygw over TLS on a folder that goes with it, reached from this machine at
 * `endpoint` and from Docker containers at `containerEndpoint`. It can be stopped and started on the same port, given other
 * credentials, and its objects can be listed, removed and damaged.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import type { Repository } from '#engines/backup.ts';
import { type IdentityNames, type ServerIdentity, serverIdentity } from './authority.ts';
import { StoredObjects } from './stored-objects.ts';

const exec = promisify(execFile);

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface ObjectStoreOptions {
  /** Path of the versitygw program: `await ensureTool('versitygw')`. */
  readonly program: string;
  readonly bucket?: string;
  /** When the server's certificate and its authority end; in a day if absent. */
  readonly certificateEnds?: Date;
  /** Names that the certificate carries besides the addresses. */
  readonly names?: readonly string[];
  /** A disk of its own, of this size, in a container of this image: it can be full, and is gone when the store stops. */
  readonly disk?: { readonly image: string; readonly megabytes: number };
}

const region = 'us-east-1';
/** In the container of a store with a disk of its own. */
const diskFolder = '/disk';

export class ObjectStore implements AsyncDisposable {
  readonly bucket: string;
  readonly region = region;
  /** PEM of the authority that signed the server's certificate. */
  readonly ca: string;
  readonly endpoint: string;
  readonly containerEndpoint: string;
  readonly #program: string;
  readonly #folder: string;
  readonly #addresses: readonly string[];
  readonly #disk: (ObjectStoreOptions['disk'] & { readonly container: string }) | undefined;
  #credentials: Credentials = newCredentials();
  #process: ChildProcess | undefined;

  private constructor(
    options: ObjectStoreOptions,
    folder: string,
    bridge: string,
    port: number,
    identity: ServerIdentity,
  ) {
    this.#program = options.program;
    this.bucket = options.bucket ?? 'backups';
    this.ca = identity.ca;
    this.#folder = folder;
    this.#addresses = ['127.0.0.1', bridge].map(address => `${address}:${port}`);
    this.#disk = options.disk && { ...options.disk, container: `bk-store-${randomBytes(4).toString('hex')}` };
    this.endpoint = `https://127.0.0.1:${port}`;
    this.containerEndpoint = `https://${bridge}:${port}`;
  }

  static async start(options: ObjectStoreOptions): Promise<ObjectStore> {
    const folder = await mkdtemp(join(tmpdir(), 'object-store-'));
    const bridge = await bridgeAddress();
    const names: IdentityNames = {
      // pgBackRest looks for addresses among the names, others among the addresses.
      dns: ['localhost', bridge, ...(options.names ?? [])],
      ip: ['127.0.0.1', bridge],
    };
    const identity = await serverIdentity(names, options.certificateEnds);
    const store = new ObjectStore(options, folder, bridge, await freePort(bridge), identity);
    try {
      await mkdir(join(folder, 'data', store.bucket), { recursive: true });
      await writeFile(join(folder, 'tls.crt'), identity.certificate);
      await writeFile(join(folder, 'tls.key'), identity.key, { mode: 0o600 });
      await store.resume();
      return store;
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
  }

  get credentials(): Credentials {
    return this.#credentials;
  }

  /** The bucket's objects, as the holder of the right credentials sees them. */
  get objects(): StoredObjects {
    return new StoredObjects({
      endpoint: this.endpoint,
      ca: this.ca,
      bucket: this.bucket,
      region,
      credentials: this.#credentials,
    });
  }

  /** A repository in it, as a container reaches it. */
  repository(path: string, stanza: string, more: Partial<Repository> = {}): Repository {
    return {
      path,
      stanza,
      s3: {
        endpoint: this.containerEndpoint,
        bucket: this.bucket,
        region,
        ...this.#credentials,
        ca: this.ca,
      },
      ...more,
    };
  }

  /** Connections are refused until {@link resume}. */
  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    // The container would outlive the program that started it.
    if (this.#disk) await exec('docker', ['rm', '--force', '--volumes', this.#disk.container]);
    child.kill('SIGKILL');
    await ended;
  }

  /** Starts the server again, with all that was stored. */
  async resume(): Promise<void> {
    const [program, args] = this.#command();
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...(this.#disk && { PATH: process.env['PATH'] }),
        ROOT_ACCESS_KEY: this.#credentials.accessKeyId,
        ROOT_SECRET_KEY: this.#credentials.secretAccessKey,
      },
    });
    this.#process = child;
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    for (const deadline = Date.now() + 20_000; ; ) {
      if (await accepts(this.endpoint, this.ca)) return;
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`the object store did not start: ${said}`);
      await sleep(20);
    }
  }

  #command(): readonly [program: string, args: readonly string[]] {
    const serve = (addresses: readonly string[], folder: string, data: string) => [
      ...addresses.flatMap(address => ['--port', address]),
      `--cert=${join(folder, 'tls.crt')}`,
      `--key=${join(folder, 'tls.key')}`,
      `--region=${region}`,
      '--keep-alive',
      '--quiet',
      'posix',
      // Not every kernel keeps attributes of files in memory.
      ...(this.#disk ? [`--sidecar=${diskFolder}/attributes`] : []),
      data,
    ];
    const folder = this.#folder;
    if (!this.#disk) return [this.#program, serve(this.#addresses, folder, join(folder, 'data'))];
    const { container, image, megabytes } = this.#disk;
    const port = this.#addresses[0]?.split(':')[1] ?? '';
    const make = `cd ${diskFolder} && mkdir -p data/${this.bucket} attributes && exec "$0" "$@"`;
    return [
      'docker',
      [
        'run',
        '--rm',
        `--name=${container}`,
        '--user=0:0',
        ...this.#addresses.map(address => `--publish=${address}:${port}`),
        '--env=ROOT_ACCESS_KEY',
        '--env=ROOT_SECRET_KEY',
        `--tmpfs=${diskFolder}:size=${megabytes}m`,
        `--volume=${folder}:/identity:ro`,
        `--volume=${this.#program}:/usr/bin/store:ro`,
        '--entrypoint=sh',
        image,
        '-c',
        make,
        '/usr/bin/store',
        ...serve([`0.0.0.0:${port}`], '/identity', `${diskFolder}/data`),
      ],
    ];
  }

  /** Nothing more fits onto its disk, until {@link makeRoom}. */
  async fillDisk(): Promise<void> {
    await this.#onDisk('dd if=/dev/zero of=fill bs=64k 2>/dev/null; [ -s fill ]');
  }

  async makeRoom(): Promise<void> {
    await this.#onDisk('rm fill');
  }

  async #onDisk(script: string): Promise<void> {
    await exec('docker', ['exec', this.#disk?.container ?? '', 'sh', '-c', `cd ${diskFolder}; ${script}`]);
  }

  /** Gives the store other credentials; those of before are refused from now on. */
  async changeCredentials(): Promise<Credentials> {
    await this.stop();
    this.#credentials = newCredentials();
    await this.resume();
    return this.#credentials;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

export function startObjectStore(options: ObjectStoreOptions): Promise<ObjectStore> {
  return ObjectStore.start(options);
}

function newCredentials(): Credentials {
  return {
    accessKeyId: `AK${randomBytes(8).toString('hex')}`,
    secretAccessKey: randomBytes(20).toString('hex'),
  };
}

/**
 * This machine's address on the network of Docker containers. A Docker engine that has just made the bridge names none until it is
 * started again: it has taken the first of the subnet.
 */
export async function bridgeAddress(): Promise<string> {
  const format = '{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{"\\n"}}{{end}}';
  const { stdout } = await exec('docker', ['network', 'inspect', 'bridge', `--format=${format}`]);
  const [, first, gateway] = /^(\d+\.\d+\.\d+\.)0\/\d+ (\d+\.\d+\.\d+\.\d+)?/m.exec(stdout) ?? [];
  if (first === undefined) throw new Error(`Docker's bridge has no IPv4 address: ${stdout}`);
  return gateway ?? `${first}1`;
}

async function freePort(address: string): Promise<number> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.once('error', reject);
  server.listen(0, address, () => {
    const bound = server.address();
    server.close(() => resolve(typeof bound === 'object' && bound !== null ? bound.port : 0));
  });
  return promise;
}

function accepts(endpoint: string, ca: string): Promise<boolean> {
  const { hostname, port } = new URL(endpoint);
  return new Promise(resolve => {
    // An expired certificate is a case to test, not a reason to wait.
    const socket = connectTls({ host: hostname, port: Number(port), ca, rejectUnauthorized: false });
    const end = (up: boolean) => {
      socket.destroy();
      resolve(up);
    };
    socket.once('secureConnect', () => end(true));
    socket.once('error', () => end(false));
  });
}
