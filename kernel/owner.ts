/** Owner references: who an object belongs to, so that it is collected with its owner. */
import type { KubeObject, OwnerReference } from '#kernel/object.ts';

/** The reference of the one controller of a child. Throws on an owner that the API server has not seen yet. */
export function controllerReference(owner: KubeObject): OwnerReference {
  const { apiVersion, kind, metadata } = owner;
  if (!metadata.uid)
    throw new TypeError(`${kind} ${metadata.name} has no uid: use the object as read from the server`);
  return {
    apiVersion,
    kind,
    name: metadata.name,
    uid: metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** A copy of the child that is controlled by the owner. */
export function ownedBy<T extends KubeObject>(child: T, owner: KubeObject): T {
  return { ...child, metadata: { ...child.metadata, ownerReferences: [controllerReference(owner)] } };
}

/** By uid, so that an owner deleted and made again under the same name does not count. */
export function isControlledBy(child: KubeObject, owner: KubeObject): boolean {
  return (
    child.metadata.ownerReferences?.some(each => each.controller && each.uid === owner.metadata.uid) ?? false
  );
}
