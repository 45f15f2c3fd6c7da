/**
 * Waiting for the world to be as a test wants it: by watch where an object says so, by asking again where only a database
 * can tell. A wait that ends without it throws what was wanted, what was seen last, and a diagnosis of the namespace.
 */
import { isRetryable, NotFoundError } from '#kernel/errors.ts';
import type { KubeObject, ObjectKey } from '#kernel/object.ts';
import { formatKey } from '#kernel/object.ts';
import type { Resource } from '#kernel/resource.ts';
import { type TestCluster, testCluster } from './cluster.ts';
import { diagnose } from './diagnosis.ts';

export interface WaitOptions {
  /** Default 180,000. */
  readonly deadlineMs?: number;
}

export const defaultDeadlineMs = 180_000;

export class WaitError extends Error {
  override readonly name = 'WaitError';
}

/** `undefined` when the object is as wanted; else what is still missing, in words. */
export type Missing<T> = (object: T | undefined) => string | undefined;

/** Watches one object until nothing is missing. Returns it as it then was; undefined when it was wanted gone. */
export async function waitFor<T extends KubeObject>(
  resource: Resource<T>,
  key: ObjectKey,
  missing: Missing<T>,
  options: WaitOptions = {},
): Promise<T | undefined> {
  const cluster = await testCluster();
  const deadlineMs = options.deadlineMs ?? defaultDeadlineMs;
  const deadline = AbortSignal.timeout(deadlineMs);
  let last = 'it was never read';
  while (!deadline.aborted) {
    try {
      let object = await getOrNone(cluster, resource, key, deadline);
      let reason = missing(object);
      if (reason === undefined) return object;
      last = reason;
      const { kube } = cluster;
      const events = await kube.watch(resource, {
        namespace: key.namespace,
        fieldSelector: `metadata.name=${key.name}`,
        // Without a live object to go on from, the watch begins with what is there by then.
        resourceVersion: object?.metadata.resourceVersion ?? '0',
        timeoutSeconds: 60,
        signal: deadline,
      });
      for await (const event of events) {
        if (event.type === 'BOOKMARK') continue;
        object = event.type === 'DELETED' ? undefined : event.object;
        reason = missing(object);
        if (reason === undefined) return object;
        last = reason;
      }
    } catch (error) {
      if (!deadline.aborted && !isRetryable(error)) throw error;
      // A broken watch or a busy server: read again, not at once.
      if (!deadline.aborted) await new Promise(resolve => setTimeout(resolve, 250));
    }
  }
  const what = `${resource.kind} ${formatKey(key)}`;
  throw new WaitError(
    `${what}: ${last} after ${deadlineMs / 1000} s\n${await diagnose(cluster, key.namespace ?? key.name)}`,
  );
}

export async function getOrNone<T extends KubeObject>(
  cluster: TestCluster,
  resource: Resource<T>,
  key: ObjectKey,
  signal?: AbortSignal,
): Promise<T | undefined> {
  try {
    return await cluster.kube.get(resource, key, { signal });
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

/**
 * Asks until the answer is not undefined. An answer that throws counts as "not yet", and is shown when time is up.
 */
export async function eventually<T>(
  what: string,
  namespace: string,
  ask: () => Promise<T | undefined>,
  options: WaitOptions & { readonly everyMs?: number } = {},
): Promise<T> {
  const deadlineMs = options.deadlineMs ?? defaultDeadlineMs;
  const untilMs = Date.now() + deadlineMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > untilMs) break;
    await new Promise(resolve => setTimeout(resolve, options.everyMs ?? 1000));
  }
  const seen = last === undefined ? '' : `: ${lineOf(last)}`;
  throw new WaitError(
    `${what}: not after ${deadlineMs / 1000} s${seen}\n${await diagnose(await testCluster(), namespace)}`,
    { cause: last },
  );
}

/** In one line: summaries of test runs show no more of a failure. */
function lineOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll('\n', '; ');
}
