/** Reads a watch: one JSON document per line. An error in the stream is thrown as the class it stands for. */
import {
  apiError,
  ConnectionError,
  ProtocolError,
  type RequestInfo,
  type StatusBody,
} from '#kernel/errors.ts';
import type { WatchEvent } from '#kernel/kube-options.ts';
import { lineBatches } from '#kernel/lines.ts';
import type { KubeObject } from '#kernel/object.ts';

type RawEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; readonly object: T }
  | { readonly type: 'ERROR'; readonly object: StatusBody };

export async function* watchEvents<T extends KubeObject>(
  body: AsyncIterable<Uint8Array>,
  info: RequestInfo,
): AsyncGenerator<WatchEvent<T>, void, void> {
  const batches = lineBatches(body);
  try {
    for (;;) {
      const batch = await next(batches, info);
      if (!batch) return;
      for (const line of batch) yield parse<T>(line, info);
    }
  } finally {
    // Leaving early must close the connection, or it would stay busy until the server ends the watch.
    await batches.return();
  }
}

async function next(batches: AsyncGenerator<string[], void, void>, info: RequestInfo) {
  try {
    return (await batches.next()).value;
  } catch (cause) {
    throw new ConnectionError('the watch broke', info, { cause });
  }
}

function parse<T extends KubeObject>(line: string, info: RequestInfo): WatchEvent<T> {
  let event: RawEvent<T>;
  try {
    event = JSON.parse(line);
  } catch (cause) {
    throw new ProtocolError('a line of the watch is not JSON', info, { cause });
  }
  switch (event.type) {
    case 'ERROR':
      throw apiError(event.object.code ?? 500, event.object, info);
    case 'BOOKMARK':
      return { type: 'BOOKMARK', resourceVersion: event.object.metadata.resourceVersion ?? '' };
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type: event.type, object: event.object };
    default:
      throw new ProtocolError(`unknown watch event: ${line.slice(0, 100)}`, info);
  }
}
