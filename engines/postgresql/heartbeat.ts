/**
 * Tells Patroni's heartbeat, and that of archiving, from news. Each loop it writes the time of renewal and the log's positions to the leader's
 * Endpoints and to its pods; in a large fleet that is most of all events, and none of it changes a decision.
 */

import { annotations } from '#crds/api/names.ts';
import { sameJson } from '#kernel/canonical.ts';
import type { KubeObject } from '#kernel/object.ts';
import { patroni } from './names.ts';

/** Annotations that are written at every loop: of the leader's Endpoints, and what the meter tells in that of its pod. */
const BEATS: ReadonlySet<string> = new Set([
  'renewTime',
  'optime',
  'slots',
  'retain_slots',
  annotations.report,
]);

/** Fields of a pod's status annotation that are written at every loop. */
const POSITIONS: ReadonlySet<string> = new Set([
  'xlog_location',
  'receive_lsn',
  'replay_lsn',
  'receive_lag',
  'replay_lag',
  'slots',
]);

export function isHeartbeat(before: KubeObject, after: KubeObject): boolean {
  return sameJson(newsOf(before), newsOf(after));
}

function newsOf(object: KubeObject): readonly unknown[] {
  const { metadata, spec: _, ...rest } = object;
  const { labels, deletionTimestamp, ownerReferences, uid } = metadata;
  return [rest, labels, deletionTimestamp, ownerReferences, uid, steadyAnnotations(object)];
}

function steadyAnnotations(object: KubeObject): Record<string, unknown> {
  const entries = Object.entries(object.metadata.annotations ?? {});
  return Object.fromEntries(
    entries
      .filter(([name]) => !BEATS.has(name))
      .map(([name, value]) => [name, name === patroni.statusAnnotation ? steadyStatus(value) : value]),
  );
}

function steadyStatus(text: string): unknown {
  try {
    return JSON.parse(text, (name, value: unknown) => (POSITIONS.has(name) ? undefined : value));
  } catch {
    return text;
  }
}
