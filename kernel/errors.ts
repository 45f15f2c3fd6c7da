/**
 * What can go wrong between us and the API server, as classes to match with `instanceof`. Every error has a `code` for
 * machines and a `remedy` for people. `retryable` says whether the same request may succeed later without anyone
 * changing anything.
 */
export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  /** Path of the field, e.g. `spec.shards`. */
  readonly field?: string;
}

/** The `Status` object of the API, as far as it is used. */
export interface StatusBody {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly causes?: readonly StatusCause[]; readonly retryAfterSeconds?: number };
}

export interface RequestInfo {
  readonly verb: string;
  /** Path of the request without its query. */
  readonly path: string;
}

export class KubeError extends Error {
  readonly code: string = 'KubeError';
  readonly remedy: string = 'See the message of the API server.';
  readonly retryable: boolean = false;
  readonly request: RequestInfo;
  override readonly name = this.constructor.name;

  constructor(message: string, request: RequestInfo, options?: ErrorOptions) {
    super(`${request.verb} ${request.path}: ${message}`, options);
    this.request = request;
  }
}

/** The request was answered with a failure. */
export class ApiError extends KubeError {
  override readonly code: string = 'ApiError';
  readonly status: number;
  readonly reason: string;
  readonly causes: readonly StatusCause[];

  constructor(status: number, body: StatusBody, request: RequestInfo) {
    super(body.message ?? `the API server answered ${status}`, request);
    this.status = status;
    this.reason = body.reason ?? '';
    this.causes = body.details?.causes ?? [];
  }
}

export class NotFoundError extends ApiError {
  override readonly code = 'NotFound';
  override readonly remedy = 'Create the object first; if the kind itself is unknown, install its CRD.';
}

/** Someone else wrote in between (a stale resourceVersion), or owns a field (server-side apply without force). */
export class ConflictError extends ApiError {
  override readonly code = 'Conflict';
  override readonly remedy = 'Read the object again and decide anew.';
  override readonly retryable = true;
}

export class AlreadyExistsError extends ApiError {
  override readonly code = 'AlreadyExists';
  override readonly remedy = 'Read the existing object, or choose another name.';
}

export class ForbiddenError extends ApiError {
  override readonly code = 'Forbidden';
  override readonly remedy =
    'Grant the right named in the message to the account in use (RBAC), or raise the quota.';
}

export class UnauthorizedError extends ApiError {
  override readonly code = 'Unauthorized';
  override readonly remedy = 'Check the token or certificate in use; it may have expired.';
  override readonly retryable = true;
}

/** The object breaks a rule of its schema; `causes` name the fields. */
export class InvalidError extends ApiError {
  override readonly code = 'Invalid';
  override readonly remedy = 'Correct the fields named in the message.';
}

/** 410: the resourceVersion or continue token is no longer kept by the server. */
export class GoneError extends ApiError {
  override readonly code = 'Gone';
  override readonly remedy = 'List again and watch from there.';
  override readonly retryable = true;
}

export class TooManyRequestsError extends ApiError {
  override readonly code = 'TooManyRequests';
  override readonly remedy =
    'Wait for retryAfterMs; if it persists, give the account its own priority level.';
  override readonly retryable = true;
  readonly retryAfterMs: number;

  constructor(status: number, body: StatusBody, request: RequestInfo, retryAfterMs: number) {
    super(status, body, request);
    this.retryAfterMs = retryAfterMs;
  }
}

/** 5xx, or a server-side timeout. */
export class ServerError extends ApiError {
  override readonly code = 'ServerError';
  override readonly remedy = 'Look at the health of the API server and of etcd.';
  override readonly retryable = true;
}

/** No answer: the connection could not be made or broke. `cause` has the system's error. */
export class ConnectionError extends KubeError {
  override readonly code = 'Connection';
  override readonly remedy = 'Check that the API server is up and reachable from here.';
  override readonly retryable = true;
}

/** The request took longer than its deadline; whether the server acted on it is unknown. */
export class DeadlineError extends KubeError {
  override readonly code = 'Deadline';
  override readonly remedy =
    'Check the load of the API server; raise deadlineMs if the request is expected to be slow.';
  override readonly retryable = true;
}

/** The caller's AbortSignal fired. */
export class AbortedError extends KubeError {
  override readonly code = 'Aborted';
  override readonly remedy = 'None is needed: the caller gave up.';
}

/** The answer was not what the API promises. */
export class ProtocolError extends KubeError {
  override readonly code = 'Protocol';
  override readonly remedy =
    'Check that the address is a Kubernetes API server and not a proxy or a login page.';
  override readonly retryable = true;
}

/** Chooses the class for an answer that is not 2xx. `retryAfter` is the header of that name, in seconds. */
export function apiError(
  status: number,
  body: StatusBody,
  request: RequestInfo,
  retryAfter?: string,
): ApiError {
  const afterMs = waitMs(body, retryAfter);
  // 503 with Retry-After is how a starting or overloaded server asks for patience.
  if (status === 429 || (status === 503 && afterMs !== undefined)) {
    return new TooManyRequestsError(status, body, request, afterMs ?? 1000);
  }
  switch (status) {
    case 401:
      return new UnauthorizedError(status, body, request);
    case 403:
      return new ForbiddenError(status, body, request);
    case 404:
      return new NotFoundError(status, body, request);
    case 409:
      return body.reason === 'AlreadyExists'
        ? new AlreadyExistsError(status, body, request)
        : new ConflictError(status, body, request);
    case 410:
      return new GoneError(status, body, request);
    case 400:
    case 422:
      // The name is another object's by now: as with a stale resourceVersion, what we know is out of date.
      if (body.details?.causes?.some(({ field }) => field === 'metadata.uid')) {
        return new ConflictError(status, body, request);
      }
      return new InvalidError(status, body, request);
    default:
      return status >= 500 ? new ServerError(status, body, request) : new ApiError(status, body, request);
  }
}

function waitMs(body: StatusBody, header: string | undefined): number | undefined {
  const seconds = header === undefined ? body.details?.retryAfterSeconds : Number(header);
  return seconds === undefined || !Number.isFinite(seconds) || seconds < 0 ? undefined : seconds * 1000;
}

/** True for the failures that pass by themselves. */
export function isRetryable(error: unknown): boolean {
  return error instanceof KubeError && error.retryable;
}

/** The value, or undefined when the object does not exist. Other errors pass. */
export async function orUndefined<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}
