/**
 * From what zod makes of a schema to what a CustomResourceDefinition may hold: a *structural* schema, whose every node says
 * its one type, with a bound on whatever can grow (or CEL's cost budget is blown) and a description on every field. What does
 * not fit is refused with its path, so that nothing is lost silently.
 */
import { patternByRule } from '../api/rules.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** A construct that a CRD cannot hold, or one without the bounds and docs that this project asks for. */
export class StructuralSchemaError extends Error {
  readonly code = 'NotStructural';
  readonly remedy: string;

  constructor(path: string, problem: string, remedy: string) {
    super(`${path}: ${problem}: ${remedy}`);
    this.name = 'StructuralSchemaError';
    this.remedy = remedy;
  }
}

const plainKeywords = [
  'default',
  'description',
  'enum',
  'exclusiveMaximum',
  'exclusiveMinimum',
  'format',
  'maxItems',
  'maxLength',
  'maxProperties',
  'maximum',
  'minItems',
  'minLength',
  'minProperties',
  'minimum',
  'multipleOf',
  'nullable',
  'pattern',
  'x-kubernetes-int-or-string',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-list-type',
  'x-kubernetes-map-type',
  'x-kubernetes-validations',
] as const;

const nestingKeywords = [
  'type',
  'properties',
  'required',
  'items',
  'additionalProperties',
  'anyOf',
  patternByRule,
];
const knownKeywords: ReadonlySet<string> = new Set([...plainKeywords, ...nestingKeywords]);

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The structural form of a schema, with the docs demanded of every field. `path` names it in errors. */
export function toStructural(node: Json | undefined, path: string): JsonObject {
  if (!isJsonObject(node))
    throw new StructuralSchemaError(path, 'is no schema', 'write a schema of one type');
  for (const keyword of Object.keys(node)) {
    if (!knownKeywords.has(keyword)) {
      throw new StructuralSchemaError(path, `${keyword} is not structural`, 'write the type out, without it');
    }
  }
  const intOrString = node['x-kubernetes-int-or-string'] === true;
  if (node['anyOf'] !== undefined && !intOrString) {
    throw new StructuralSchemaError(
      path,
      'anyOf with types is not structural',
      'choose one type, or intOrString()',
    );
  }
  refuseLookAround(node, path);

  const result: Record<string, Json> = {};
  if (!intOrString) result['type'] = typeOf(node, path);
  for (const keyword of plainKeywords) {
    const value = node[keyword];
    if (value !== undefined) result[keyword] = value;
  }
  if (intOrString) Object.assign(result, stringBound(node, path));
  if (node[patternByRule] === true) delete result['pattern'];
  if (result['minLength'] === 0) delete result['minLength'];
  dropSafeIntegerBounds(result);
  demandBound(result, node, path);
  return withWholeDefault({ ...result, ...nested(node, path) });
}

/** The API server checks the rules of a default as it stands, before it fills in those of the fields below. */
function withWholeDefault(schema: JsonObject): JsonObject {
  const { default: own, properties } = schema;
  if (!isJsonObject(own) || !isJsonObject(properties)) return schema;
  const fields = Object.entries(properties).flatMap(([name, child]) =>
    isJsonObject(child) && child['default'] !== undefined ? [[name, child['default']]] : [],
  );
  return { ...schema, default: { ...Object.fromEntries(fields), ...own } };
}

function typeOf(node: JsonObject, path: string): string {
  const { type } = node;
  if (typeof type !== 'string') {
    throw new StructuralSchemaError(path, 'has no single type', 'choose one type');
  }
  const values = node['enum'];
  const whole = Array.isArray(values) && values.every(value => Number.isInteger(value));
  return type === 'number' && whole ? 'integer' : type;
}

function nested(node: JsonObject, path: string): Record<string, Json> {
  const result: Record<string, Json> = {};
  const { properties, required, items, additionalProperties } = node;
  if (isJsonObject(properties)) {
    result['properties'] = Object.fromEntries(
      Object.entries(properties).map(([name, child]) => {
        const at = `${path}.${name}`;
        const schema = toStructural(child, at);
        if (typeof schema['description'] !== 'string') {
          throw new StructuralSchemaError(at, 'has no description', 'add .describe(...)');
        }
        return [name, schema];
      }),
    );
  }
  if (Array.isArray(required) && required.length > 0) result['required'] = required;
  if (items !== undefined) result['items'] = toStructural(items, `${path}[]`);
  if (isJsonObject(additionalProperties)) {
    result['additionalProperties'] = toStructural(additionalProperties, `${path}{}`);
  } else if (additionalProperties !== undefined) {
    throw new StructuralSchemaError(
      path,
      'has additionalProperties without a schema',
      'use z.object or z.record',
    );
  }
  return result;
}

/** RE2, which the API server uses, knows no look-around and no back-references. */
function refuseLookAround(node: JsonObject, path: string): void {
  const { pattern } = node;
  if (typeof pattern === 'string' && /\(\?<?[=!]|\\[1-9]/.test(pattern)) {
    throw new StructuralSchemaError(path, 'the pattern looks around', 'write it for RE2, or use a CEL rule');
  }
}

/** A value that may be an integer or a string has no type, but the string's bounds hold. */
function stringBound(node: JsonObject, path: string): Record<string, Json> {
  const branches = Array.isArray(node['anyOf']) ? node['anyOf'].filter(isJsonObject) : [];
  const text = branches.find(branch => branch['type'] === 'string');
  const integer = branches.find(branch => branch['type'] === 'integer');
  if (text === undefined || integer === undefined || branches.length !== 2) {
    throw new StructuralSchemaError(
      path,
      'is not an integer or a string',
      'use z.union([z.int(), z.string()])',
    );
  }
  refuseLookAround(text, path);
  const result: Record<string, Json> = {};
  for (const keyword of ['minLength', 'maxLength', 'pattern']) {
    const value = text[keyword];
    if (value !== undefined) result[keyword] = value;
  }
  if (integer['minimum'] === 0) result['minimum'] = 0;
  return result;
}

function dropSafeIntegerBounds(result: Record<string, Json>): void {
  if (result['type'] !== 'integer') return;
  if (result['minimum'] === Number.MIN_SAFE_INTEGER) delete result['minimum'];
  if (result['maximum'] === Number.MAX_SAFE_INTEGER) delete result['maximum'];
  const { maximum } = result;
  result['format'] = typeof maximum === 'number' && maximum < 2 ** 31 ? 'int32' : 'int64';
}

function demandBound(result: JsonObject, node: JsonObject, path: string): void {
  if (isJsonObject(node['additionalProperties']) && Object.keys(node['additionalProperties']).length === 0) {
    throw new StructuralSchemaError(path, 'takes unknown fields', 'use z.object, or z.record with a schema');
  }
  const missing = (bound: string) =>
    new StructuralSchemaError(path, `has no ${bound}`, 'bound it, or CEL counts it as endless');
  const text = result['type'] === 'string' || result['x-kubernetes-int-or-string'] === true;
  if (text && result['enum'] === undefined && result['maxLength'] === undefined) throw missing('maxLength');
  if (result['type'] === 'array' && result['maxItems'] === undefined) throw missing('maxItems');
  if (isJsonObject(node['additionalProperties']) && result['maxProperties'] === undefined) {
    throw missing('maxProperties');
  }
}
