/**
 * Answers requests for shard maps, without a socket in sight. Who has no right token learns nothing, not even whether a
 * fleet exists.
 *
 *   GET /v1/maps/<namespace>/<cluster>                 the whole map: MapDelta with `since` 0
 *   GET /v1/maps/<namespace>/<cluster>?since=<epoch>   MapDelta: the pages changed since
 *   GET /v1/maps/<namespace>/<cluster>/events          server-sent events: one MapDelta per change, `id:` is the epoch; and
 *                                                      `event: coming` with ComingWriters when a change is announced
 *
 * The ETag is the digest of the map, so `If-None-Match` answers 304 on all replicas alike.
 */
import { deltaSince, type MapDelta, wholeMap } from '#sharding/delta.ts';
import { MapInTransitionError } from '#sharding/errors.ts';
import type { Authorize } from './map-pages.ts';
import type { Lookup, Snapshot, Snapshots } from './snapshots.ts';

export interface MapRequest {
  readonly method: string;
  /** Path and query, as in the request line. */
  readonly url: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

export interface Fleet {
  readonly namespace: string;
  readonly cluster: string;
}

export interface BodyResponse {
  readonly kind: 'body';
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type MapResponse =
  | BodyResponse
  | { readonly kind: 'stream'; readonly fleet: Fleet; readonly since: number };

export interface HandleContext {
  readonly snapshots: Snapshots;
  readonly authorize: Authorize;
}

const label = '[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?';
const route = new RegExp(`^/v1/maps/(${label})/(${label})(/events)?$`);
const epochForm = /^\d{1,15}$/;

export async function handle(request: MapRequest, context: HandleContext): Promise<MapResponse> {
  const [path = '', query = ''] = request.url.split('?', 2);
  const match = route.exec(path);
  if (match === null) {
    return failure(
      404,
      'NotFound',
      'there is nothing at this path',
      'Ask for /v1/maps/<namespace>/<cluster>.',
    );
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return failure(405, 'MethodNotAllowed', 'maps can only be read', 'Use GET.', { allow: 'GET, HEAD' });
  }
  const [, namespace = '', cluster = '', events] = match;
  const token = bearerToken(one(request.headers['authorization']));
  if (token === undefined || !(await context.authorize(token, namespace, cluster))) {
    return failure(
      401,
      'Unauthorized',
      'the bearer token is missing or does not fit',
      `Send the map-token of the Secret ${cluster}-app.`,
      { 'www-authenticate': 'Bearer' },
    );
  }
  const since = new URLSearchParams(query).get('since') ?? one(request.headers['last-event-id']) ?? '0';
  if (!epochForm.test(since)) {
    return failure(400, 'BadEpoch', 'since is not an epoch', 'Write a whole number, as in ?since=12.');
  }
  const fleet = { namespace, cluster };
  const lookup = context.snapshots.get(namespace, cluster);
  if (lookup.kind !== 'found') return missing(fleet, lookup);
  if (events !== undefined) return { kind: 'stream', fleet, since: Number(since) };
  return document(lookup.snapshot, Number(since), one(request.headers['if-none-match']));
}

/**
 * What leads a client at `since` to the snapshot. A client may be ahead of this replica's watch: then it gets no pages and
 * an epoch below its own, which it ignores. Sending it the whole map would take it back.
 */
export function deltaFor(snapshot: Snapshot, since: number): MapDelta {
  return since === 0 ? wholeMap(snapshot.pages) : deltaSince(snapshot.pages, since);
}

function document(snapshot: Snapshot, since: number, known: string | undefined): MapResponse {
  const etag = `"${snapshot.digest}"`;
  const headers = { etag, 'cache-control': 'no-cache' };
  const matches = known?.split(',').some(each => each.trim().replace(/^W\//, '') === etag) ?? false;
  if (matches) return { kind: 'body', status: 304, headers, body: '' };
  return {
    kind: 'body',
    status: 200,
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify(deltaFor(snapshot, since)),
  };
}

function missing(fleet: Fleet, lookup: Exclude<Lookup, { kind: 'found' }>): MapResponse {
  const name = `${fleet.namespace}/${fleet.cluster}`;
  return lookup.kind === 'none'
    ? failure(404, 'NoSuchMap', `${name} has no map`, 'Wait until the ShardCluster has one.', {
        'retry-after': '1',
      })
    : failure(
        503,
        lookup.problem instanceof MapInTransitionError ? lookup.problem.code : 'BrokenMap',
        `the stored map of ${name} is not whole: ${lookup.problem.message}`,
        'Try again shortly.',
        {
          'retry-after': '1',
        },
      );
}

export function failure(
  status: number,
  code: string,
  message: string,
  remedy: string,
  headers: Readonly<Record<string, string>> = {},
): BodyResponse {
  return {
    kind: 'body',
    status,
    headers: { ...headers, 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: JSON.stringify({ code, message, remedy }),
  };
}

function bearerToken(header: string | undefined): string | undefined {
  return /^bearer +([\x21-\x7e]{1,4096})$/i.exec(header ?? '')?.[1];
}

function one(header: string | readonly string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.[0];
}
