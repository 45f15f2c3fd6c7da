/** One text per value, whatever the order of its keys: to compare and to hash what JSON can express. */
import { createHash } from 'node:crypto';

/** As JSON.stringify, with sorted keys. Written out because it runs for each object of each reconcile. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`;
  let text = '';
  for (const [name, part] of Object.entries(value).toSorted(byName)) {
    if (part === undefined) continue;
    text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${canonicalJson(part)}`;
  }
  return `{${text}}`;
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** 96 bits of SHA-256, in characters that an annotation or a label takes. */
export function digest(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex').slice(0, 24);
}

/** Whether two values are the same JSON, whatever the order of their keys. */
export function sameJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (!isObject(left) || !isObject(right)) return canonicalJson(left) === canonicalJson(right);
  if (Array.isArray(left) || Array.isArray(right)) {
    if (!Array.isArray(left) || !Array.isArray(right) || left.length !== right.length) return false;
    return left.every((part, i) => sameJson(part, right[i]));
  }
  for (const name in left) {
    if (left[name] !== undefined && (right[name] === undefined || !sameJson(left[name], right[name])))
      return false;
  }
  for (const name in right) if (right[name] !== undefined && left[name] === undefined) return false;
  return true;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
