/** Requests to the REST API of a member's Patroni: TLS checked against the fleet's authority, a password for every change. */
import { request } from 'node:https';
import { UnreachableError } from '#engines/errors.ts';
import { messageOf } from './connection.ts';
import { ports, restUser } from './names.ts';

export interface RestTarget {
  readonly host: string;
  readonly port?: number;
  readonly serverName: string;
  readonly ca: string;
  readonly password: string;
}

export interface RestAnswer {
  readonly status: number;
  readonly text: string;
}

/** Resolves with any status. Throws {@link UnreachableError} when there is no answer. */
export async function callPatroni(
  target: RestTarget,
  path: string,
  body: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
  method: 'POST' | 'PATCH' = 'POST',
): Promise<RestAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<RestAnswer>();
  const payload = JSON.stringify(body);
  const outgoing = request({
    host: target.host,
    port: target.port ?? ports.rest,
    servername: target.serverName,
    ca: target.ca,
    path,
    method,
    auth: `${restUser}:${target.password}`,
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) },
    signal,
    agent: false,
  });
  outgoing.on('error', reject);
  outgoing.on('response', incoming => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('error', reject);
    incoming.on('end', () =>
      resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8').trim() }),
    );
  });
  outgoing.end(payload);
  try {
    return await promise;
  } catch (cause) {
    throw new UnreachableError(`Patroni at ${target.host} does not answer ${path}: ${messageOf(cause)}`, {
      cause,
    });
  }
}
