/**
 * An object made by a plain create, which costs an API server half of what an apply does, is owned by its manager for
 * "Update": fields that a later apply leaves out would stay. Before the first apply the ownership is moved to "Apply", as an
 * apply would have recorded it; fields that were only defaulted then go with that apply, and are defaulted again.
 */
import { orUndefined } from '#kernel/errors.ts';
import type { KubeClient } from '#kernel/kube-client.ts';
import type { CallOptions } from '#kernel/kube-options.ts';
import type { KubeObject } from '#kernel/object.ts';

/** One entry of `metadata.managedFields`. */
export interface ManagedFields {
  readonly manager?: string;
  readonly operation?: string;
  readonly subresource?: string;
  readonly fieldsV1?: Tree;
}

/** Inner nodes are fields that exist. */
interface Tree {
  readonly [field: string]: unknown;
}

/**
 * Reads the object, and patches its managedFields if need be; nothing else of it changes. Gone objects are left alone. Throws
 * ConflictError when somebody wrote in between.
 */
export async function ownByApply(
  client: KubeClient,
  object: KubeObject,
  fieldManager: string,
  options: CallOptions,
): Promise<void> {
  const resource = client.catalog.of(object);
  const live = await orUndefined(client.get(resource, object.metadata, options));
  const entries = live && movedToApply(managedFieldsOf(live), fieldManager);
  if (!entries) return;
  const body = [
    { op: 'replace', path: '/metadata/managedFields', value: entries },
    // Anything else than the live one is a conflict.
    { op: 'replace', path: '/metadata/resourceVersion', value: live.metadata.resourceVersion },
  ];
  await client.patch(resource, object.metadata, { type: 'json', body }, { ...options, fieldManager });
}

/** Undefined when the manager owns nothing by "Update". Subresources are left alone. Pure. */
export function movedToApply(
  entries: readonly ManagedFields[],
  manager: string,
): readonly ManagedFields[] | undefined {
  const isOurs = (entry: ManagedFields): boolean => entry.manager === manager && !entry.subresource;
  const ours = entries.filter(isOurs);
  if (!ours.some(({ operation }) => operation === 'Update')) return undefined;
  const first = ours.find(({ operation }) => operation === 'Apply') ?? ours[0];
  const fieldsV1 = ours.map(entry => entry.fieldsV1 ?? {}).reduce(union);
  return [...entries.filter(entry => !isOurs(entry)), { ...first, operation: 'Apply', fieldsV1 }];
}

function union(left: Tree, right: Tree): Tree {
  const both: Record<string, unknown> = { ...left };
  for (const [name, value] of Object.entries(right)) {
    const known = both[name];
    both[name] = isTree(known) && isTree(value) ? union(known, value) : value;
  }
  return both;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null;
}

export function managedFieldsOf({ metadata }: KubeObject): readonly ManagedFields[] {
  const entries: unknown = 'managedFields' in metadata ? metadata.managedFields : undefined;
  return Array.isArray(entries) ? entries.filter(isTree) : [];
}
