/**
 * Annotations that a schema carries beside what zod itself can say, and that the generator copies into the CRD. They
 * change nothing about parsing: the API server enforces them, so that no webhook is needed.
 */
import type { z } from 'zod';

/** A CEL rule. `message` says what to write instead. */
export interface Rule {
  readonly rule: string;
  readonly message: string;
  /** Field the error points at, relative to the schema: `.spec.shards`. */
  readonly fieldPath?: string;
  /** Evaluated on creation too, with `oldSelf` as an optional. */
  readonly optionalOldSelf?: boolean;
}

type Annotations = Readonly<Record<string, unknown>>;

function annotate<S extends z.ZodType>(schema: S, annotations: Annotations): S {
  return schema.meta({ ...schema.meta(), ...annotations });
}

/** Adds rules to those that the schema has. */
export function withRules<S extends z.ZodType>(schema: S, ...rules: readonly Rule[]): S {
  const before = schema.meta()?.['x-kubernetes-validations'];
  return annotate(schema, {
    'x-kubernetes-validations': [...(Array.isArray(before) ? before : []), ...rules],
  });
}

/** A value that cannot change once set. Coming and going is not seen here: that needs a rule on the parent. */
export function immutable<S extends z.ZodType>(schema: S, message: string): S {
  return withRules(schema, { rule: 'self == oldSelf', message });
}

/** A list whose items are told apart by these fields, so that two writers can own one item each. */
export function listMap<S extends z.ZodType>(schema: S, ...keys: readonly string[]): S {
  return annotate(schema, { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': keys });
}

/** A list of distinct scalars. */
export function listSet<S extends z.ZodType>(schema: S): S {
  return annotate(schema, { 'x-kubernetes-list-type': 'set' });
}

/** A list that has one owner as a whole. */
export function listAtomic<S extends z.ZodType>(schema: S): S {
  return annotate(schema, { 'x-kubernetes-list-type': 'atomic' });
}

/** Accepts an integer or a string, as Kubernetes does for quantities. */
export function intOrString<S extends z.ZodType>(schema: S): S {
  return annotate(schema, { 'x-kubernetes-int-or-string': true });
}

/** Marks a `pattern` as covered by a rule with a readable message, so the CRD carries the rule alone. */
export const patternByRule = 'x-shardwright-pattern-by-rule';
