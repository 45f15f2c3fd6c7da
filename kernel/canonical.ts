/** One text per value, whatever the order of its keys: to compare and to hash what JSON can express. */
import { createHash } from 'node:crypto';

/** As JSON.stringify, with sorted keys. Written out because it runs for each object of each reconcile. */
export function canonicalJson(value: unknown): string {
  if (!isObject(value)) return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`;
  let text = '';
  // Without a comparison of ours it is three times as fast, and the same: by code units.
  for (const name of Object.keys(value).toSorted()) {
    const part = value[name];
    if (part === undefined) continue;
    text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${canonicalJson(part)}`;
  }
  return `{${text}}`;
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
