/** JSON with sorted keys and without undefined fields: equal values give equal text, whatever order they were written in. */
import { createHash } from 'node:crypto';

export function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, field: unknown) =>
    typeof field === 'object' && field !== null && !Array.isArray(field)
      ? Object.fromEntries(Object.entries(field).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : field,
  );
}

/** Short digest of a value, for noticing changes; not for secrets that can be guessed. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(stableJson(value)).digest('hex').slice(0, 16);
}

export function sameJson(left: unknown, right: unknown): boolean {
  return left === right || stableJson(left) === stableJson(right);
}
