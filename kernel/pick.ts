/** A reflector's transform that keeps what is read and drops the rest: caches are most of an operator's memory. */
import type { KubeObject } from '#kernel/object.ts';
import { withoutManagedFields } from '#kernel/reflector.ts';

/**
 * Keeps type and metadata (without managedFields) and the fields at these dotted paths, e.g. `spec.nodeName`. A path goes
 * through objects only, not into lists. Objects so reduced must not be compared with intents or written back.
 */
export function pick<T extends KubeObject>(...paths: readonly string[]): (object: T) => T {
  const routes = paths.map(path => path.split('.'));
  return object => {
    const { apiVersion, kind, metadata } = withoutManagedFields(object);
    const kept: Record<string, unknown> = { apiVersion, kind, metadata };
    for (const route of routes) copy(object, kept, route);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- fields of built-in kinds are optional below the top
    return kept as T;
  };
}

function copy(from: object, to: Record<string, unknown>, route: readonly string[]): void {
  const [name = '', ...rest] = route;
  const value: unknown = Object.entries(from).find(([field]) => field === name)?.[1];
  if (value === undefined) return;
  if (rest.length === 0) {
    to[name] = value;
  } else if (isObject(value)) {
    const existing = to[name];
    const nested = isObject(existing) ? { ...existing } : {};
    copy(value, nested, rest);
    to[name] = nested;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
