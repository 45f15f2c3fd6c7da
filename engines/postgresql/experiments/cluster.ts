/** The members of a shard on a real cluster, as experiments use them: found by kubectl, reached by port-forward. */
import { execFileSync, spawn } from 'node:child_process';
import { Client } from 'pg';
import { z } from 'zod';
import type { ShardSession } from '#engines/engine.ts';
import { postgresql } from '../engine.ts';
import { patroni, ports } from '../names.ts';
import { sampleShard } from '../testing/shard.ts';

export interface Forwarded extends AsyncDisposable {
  readonly pod: string;
  readonly sql: number;
  readonly pooler: number;
  readonly rest: number;
}

export interface Place {
  readonly shard: string;
  readonly namespace: string;
}

export function kubectl(...args: string[]): string {
  return execFileSync('kubectl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Pods with the role that Patroni gave them. */
export function podsWithRole({ shard, namespace }: Place, role: 'primary' | 'replica'): readonly string[] {
  const selector = `shardwright.io/shard=${shard},${patroni.roleLabel}=${role}`;
  return kubectl('-n', namespace, 'get', 'pods', '-l', selector, '-o', 'name').split('\n').filter(Boolean);
}

export function secretValue(place: Place, secret: string, key: string): string {
  const text = kubectl(
    '-n',
    place.namespace,
    'get',
    'secret',
    secret,
    '-o',
    `jsonpath={.data['${key.replace('.', '\\.')}']}`,
  );
  return Buffer.from(text, 'base64').toString('utf8');
}

export async function forward({ namespace }: Place, pod: string): Promise<Forwarded> {
  const numbers = [ports.postgresql, ports.pooler, ports.rest];
  const child = spawn(
    'kubectl',
    ['-n', namespace, 'port-forward', pod, ...numbers.map(number => `:${number}`)],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  const local = new Map<number, number>();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    for (const [, from, to] of output.matchAll(/127\.0\.0\.1:(\d+) -> (\d+)/g))
      local.set(Number(to), Number(from));
    if (local.size === numbers.length) resolve();
  });
  child.on('exit', () => reject(new Error(`port-forward to ${pod} ended`)));
  await promise;
  const of = (port: number) => local.get(port) ?? 0;
  return {
    pod: pod.replace('pod/', ''),
    sql: of(ports.postgresql),
    pooler: of(ports.pooler),
    rest: of(ports.rest),
    [Symbol.asyncDispose]: async () => {
      child.removeAllListeners('exit');
      child.kill();
    },
  };
}

export function session(place: Place, to: Forwarded): Promise<ShardSession> {
  const shard = sampleShard({}, { name: place.shard, namespace: place.namespace });
  const { internal, ca } = shard.spec.secrets;
  return postgresql.connect(
    shard,
    {
      primary: { name: to.pod, host: '127.0.0.1' },
      ca: secretValue(place, ca, 'ca.crt'),
      passwords: {
        superuser: secretValue(place, internal, 'superuser'),
        rest: secretValue(place, internal, 'rest'),
      },
      ports: { sql: to.sql, rest: to.rest },
    },
    AbortSignal.timeout(300_000),
  );
}

export async function login(
  place: Place,
  port: number,
  user: string,
  password: string,
  database = 'social',
): Promise<Client> {
  const shard = sampleShard({}, { name: place.shard, namespace: place.namespace });
  const client = new Client({
    host: '127.0.0.1',
    port,
    user,
    password,
    database,
    connectionTimeoutMillis: 5000,
    ssl: {
      ca: secretValue(place, shard.spec.secrets.ca, 'ca.crt'),
      servername: postgresql.serverNames(shard)[0] ?? '',
    },
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

const coded = z.object({ code: z.string().optional(), message: z.string() });

/** `ok`, or what it failed with: the SQLSTATE where there is one. */
export async function outcome(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'ok';
  } catch (error) {
    const { code, message } = coded.parse(error);
    return code === undefined ? message : `${code} ${message}`;
  }
}

/** Milliseconds until `work` ends as wanted; asked every 2 ms. */
export async function until(
  wanted: (result: string) => boolean,
  work: () => Promise<unknown>,
): Promise<{ milliseconds: number; result: string }> {
  const start = performance.now();
  for (;;) {
    const result = await outcome(work);
    const milliseconds = Math.round(performance.now() - start);
    if (wanted(result)) return { milliseconds, result };
    if (milliseconds > 60_000) throw new Error(`still "${result}" after a minute`);
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

export function report(what: string, result: unknown): void {
  process.stdout.write(`${JSON.stringify({ what, result })}\n`);
}
