/**
 * Scalars of the API: each with a bound (CEL's cost budget needs one) and, where its form is checked, with a message that
 * a person can act on. Descriptions belong to the fields that use them.
 */
import { z } from 'zod';
import { intOrString, listSet, patternByRule, withRules } from './rules.ts';

interface TextOptions {
  readonly min?: number;
  readonly max: number;
  readonly pattern?: RegExp;
  /** What to write instead; needed with a pattern. */
  readonly message?: string;
}

/** A bounded string. A pattern is enforced by CEL, for the sake of its message. */
export function text({ min = 0, max, pattern, message }: TextOptions) {
  const bounded = z.string().min(min).max(max);
  if (pattern === undefined) return bounded;
  const rule = {
    rule: `self.matches(${JSON.stringify(pattern.source)})`,
    message: message ?? 'has a wrong form',
  };
  return withRules(bounded.regex(pattern), rule).meta({
    'x-kubernetes-validations': [rule],
    [patternByRule]: true,
  });
}

/** Name of another object in the same namespace. */
export const objectName = text({
  min: 1,
  max: 253,
  pattern: /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/,
  message: 'must be the name of an object: lower-case letters, digits, - and . only',
});

/** Name of a region as in the node label `topology.kubernetes.io/region`. */
export const regionName = text({
  min: 1,
  max: 63,
  pattern: /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/,
  message: 'must be a value of the node label topology.kubernetes.io/region, such as eu-west',
});

/** A plain SQL identifier, never an expression. */
export const identifier = text({
  min: 1,
  max: 63,
  pattern: /^[a-z_][a-z0-9_]*$/,
  message: 'must be a plain SQL identifier: lower-case letters, digits and _, not starting with a digit',
});

/** A table, with its schema if that is not `public`. */
export const tableName = text({
  min: 1,
  max: 127,
  pattern: /^[a-z_][a-z0-9_]*([.][a-z_][a-z0-9_]*)?$/,
  message: 'must be a plain table name such as users or sales.orders: lower-case letters, digits and _',
});

/** A value of a shard key, in its text form. */
export const keyValue = text({ max: 256 });

/** A span of time: 300ms, 10s, 5m, 24h, 30d, 52w, or several of them in a row. */
export const duration = text({
  min: 2,
  max: 32,
  pattern: /^([0-9]{1,9}(ms|s|m|h|d|w))+$/,
  message: 'must be a duration such as 300ms, 10s, 5m, 24h or 30d',
});

/** One field of a cron expression: numbers or ranges, or all of them, with a step if that is wanted. */
function cronField(value: string): string {
  const part = `((\\*|${value}-${value})(/[1-9][0-9]?)?|${value})`;
  return `${part}(,${part})*`;
}

const cronFields = [
  '[0-5]?[0-9]',
  '([01]?[0-9]|2[0-3])',
  '(0?[1-9]|[12][0-9]|3[01])',
  '(0?[1-9]|1[0-2]|[A-Za-z]{3})',
  '([0-7]|[A-Za-z]{3})',
].map(cronField);

/**
 * A moment of five cron fields: minute, hour, day of month, month, day of week. The API server refuses numbers out of their
 * bounds; what it accepted before it did so still parses.
 */
export const cron = withRules(
  text({
    min: 9,
    max: 128,
    pattern: /^[0-9*/,-]+( +[0-9*/,-]+){2} +[0-9A-Za-z*/,-]+ +[0-9A-Za-z*/,-]+$/,
    message: 'must be five cron fields (minute hour day month weekday), such as "0 2 * * 0"',
  }),
  {
    rule: `self.matches(${JSON.stringify(`^${cronFields.join(' +')}$`)})`,
    message:
      'must be five cron fields, each within its bounds: minute 0-59, hour 0-23, day 1-31, month 1-12, weekday 0-7',
  },
);

/** A moment as RFC 3339 writes it. */
export const timestamp = text({
  min: 20,
  max: 40,
  pattern: /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$/,
  message: 'must be a time such as 2026-11-21T10:00:00Z',
});

/** An amount as Kubernetes writes it: 500m, 2, 128Mi, 1Gi. Parses to a string also where a number was written. */
export const quantity = withRules(
  intOrString(z.union([z.int().min(0), z.string().min(1).max(32)]).transform(String)),
  {
    rule: 'isQuantity(string(self)) && quantity(string(self)).compareTo(quantity("0")) >= 0',
    message: 'must be a quantity such as 500m, 2, 128Mi or 1Gi',
  },
);

/** The identity of a Kubernetes object, as far as this project reads it. */
export const metadata = z.object({
  name: z.string(),
  namespace: z.string().exactOptional(),
  uid: z.string().exactOptional(),
  resourceVersion: z.string().exactOptional(),
  generation: z.int().exactOptional(),
  creationTimestamp: z.string().exactOptional(),
  deletionTimestamp: z.string().exactOptional(),
  labels: z.record(z.string(), z.string()).exactOptional(),
  annotations: z.record(z.string(), z.string()).exactOptional(),
  finalizers: z.array(z.string()).exactOptional(),
  ownerReferences: z
    .array(
      z.object({
        apiVersion: z.string(),
        kind: z.string(),
        name: z.string(),
        uid: z.string(),
        controller: z.boolean().exactOptional(),
        blockOwnerDeletion: z.boolean().exactOptional(),
      }),
    )
    .exactOptional(),
});

/** A name in the same namespace. */
export const localReference = z.object({
  name: objectName.describe('Name of the object, in the same namespace.'),
});

/** Namespaces, by name. */
export const namespaceNames = listSet(
  z
    .array(
      text({
        min: 1,
        max: 63,
        pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/,
        message: 'must be the name of a namespace',
      }),
    )
    .max(64),
);
