/** How a kind is addressed on the API server, and the TypeScript type of its objects. */
import type { KubeObject } from '#kernel/object.ts';

export interface Resource<T extends KubeObject = KubeObject> {
  /** `v1`, `apps/v1`, `shardwright.io/v1alpha1`. */
  readonly apiVersion: string;
  readonly kind: string;
  /** Lower case, as in the URL: `endpoints`, `networkpolicies`. */
  readonly plural: string;
  readonly namespaced: boolean;
  /** Never set: carries T, so that `get(Pods, ...)` knows what it returns. */
  readonly objectType?: T;
}

export function defineResource<T extends KubeObject>(resource: Omit<Resource<T>, 'objectType'>): Resource<T> {
  return Object.freeze({ ...resource });
}

/** Identity of a kind, for maps: `apps/v1/StatefulSet`. */
export function kindOf(of: { readonly apiVersion: string; readonly kind: string }): string {
  return `${of.apiVersion}/${of.kind}`;
}

/** The URL path of a collection, of one object, or of its subresource. Names are escaped. */
export function resourcePath(
  resource: Resource,
  at: { readonly namespace?: string | undefined; readonly name?: string; readonly subresource?: string },
): string {
  const root = resource.apiVersion.includes('/')
    ? `/apis/${resource.apiVersion}`
    : `/api/${resource.apiVersion}`;
  const namespace =
    resource.namespaced && at.namespace ? `/namespaces/${encodeURIComponent(at.namespace)}` : '';
  const name = at.name === undefined ? '' : `/${encodeURIComponent(at.name)}`;
  return `${root}${namespace}/${resource.plural}${name}${at.subresource ? `/${at.subresource}` : ''}`;
}
