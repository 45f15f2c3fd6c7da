/** Finds how a kind is addressed from an object's apiVersion and kind: the built-in kinds, and those given. */
import type { KubeObject } from '#kernel/object.ts';
import { kindOf, type Resource } from '#kernel/resource.ts';
import { builtInResources } from '#kernel/resources.ts';

export class UnknownKindError extends Error {
  override readonly name = 'UnknownKindError';
  readonly code = 'UnknownKind';
  readonly remedy = 'Give its Resource to the client (KubeClientOptions.resources).';
}

export class ResourceCatalog {
  readonly #byKind = new Map<string, Resource>();

  constructor(resources: readonly Resource[]) {
    for (const resource of [...builtInResources, ...resources]) this.#byKind.set(kindOf(resource), resource);
  }

  of<T extends KubeObject>(object: T): Resource<T> {
    const resource = this.#byKind.get(kindOf(object));
    if (!resource) throw new UnknownKindError(`no resource is known for ${kindOf(object)}`);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- who defined the kind also named its type
    return resource as Resource<T>;
  }
}
