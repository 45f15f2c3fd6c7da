/**
 * A pod's token is bound to the ServiceAccount of its time. When that is deleted, and made again, the API server refuses the
 * token until the kubelet fetches another, which may take an hour: the member can neither renew its lock nor hand over. Only
 * a new pod has a valid one at once. Pure.
 */
import type { MemberFacts } from '#engines/engine.ts';
import type { KubeObject } from '#kernel/object.ts';

export interface Member extends MemberFacts {
  /** Its ServiceAccount is newer than its pod. */
  readonly lockedOut?: true;
}

/** The members, those that are locked out marked so and outdated. */
export function markLockedOut(
  members: readonly MemberFacts[],
  pods: readonly KubeObject[],
  serviceAccount: KubeObject | undefined,
): readonly Member[] {
  const since = serviceAccount?.metadata.creationTimestamp;
  if (since === undefined) return members;
  const older = new Set(pods.filter(pod => isBefore(pod, since)).map(({ metadata }) => metadata.name));
  if (older.size === 0) return members;
  return members.map(member =>
    older.has(member.name) ? { ...member, outdated: true, lockedOut: true } : member,
  );
}

/** Whole seconds, as the API has them: a pod of the same second was made with its shard. */
function isBefore({ metadata }: KubeObject, since: string): boolean {
  return metadata.creationTimestamp !== undefined && metadata.creationTimestamp < since;
}
