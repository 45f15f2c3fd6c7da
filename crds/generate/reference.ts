/** docs/api-reference.md: one table for the spec and one for the status of each kind. */
import { apiVersion, category } from '../api/names.ts';
import type { Kind } from '../kinds.ts';
import { schemasOf } from './definition.ts';
import { isJsonObject, type Json, type JsonObject } from './structural.ts';

const objectAt = (node: JsonObject, key: string): JsonObject | undefined => {
  const value = node[key];
  return isJsonObject(value) ? value : undefined;
};

/** A scalar as it would stand in YAML; what is absent or has fields gives nothing. */
function scalar(value: Json | undefined): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? `${value}`
    : '';
}

/** Text that stays in its cell of a table. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

const code = (text: string): string => `\`${cell(text)}\``;

function typeName(node: JsonObject): string {
  if (node['x-kubernetes-int-or-string'] === true) return 'integer or string';
  const items = objectAt(node, 'items');
  if (items) return `list of ${typeName(items)}`;
  const values = objectAt(node, 'additionalProperties');
  if (values) return `map of ${typeName(values)}`;
  return scalar(node['type']);
}

function rulesOf(node: JsonObject): readonly JsonObject[] {
  const rules = node['x-kubernetes-validations'];
  return Array.isArray(rules) ? rules.filter(isJsonObject) : [];
}

/** A bound of 0 says nothing where there can be nothing less. */
function some(low: string | undefined): string | undefined {
  return low === '0' ? undefined : low;
}

function between(low: string | undefined, high: string | undefined, unit: string): string[] {
  if (low !== undefined && high !== undefined) return [`${low} to ${high}${unit}`];
  if (low !== undefined) return [`at least ${low}${unit}`];
  return high === undefined ? [] : [`at most ${high}${unit}`];
}

function limits(node: JsonObject): string[] {
  const at = (key: string) => (node[key] === undefined ? undefined : scalar(node[key]));
  return [
    ...between(at('minimum'), at('maximum'), ''),
    ...between(some(at('minLength')), at('maxLength'), ' characters'),
    ...between(some(at('minItems')), at('maxItems'), ' items'),
    ...between(undefined, at('maxProperties'), ' entries'),
    ...(Array.isArray(node['enum'])
      ? [`one of ${node['enum'].map(value => code(scalar(value))).join(', ')}`]
      : []),
    ...(at('pattern') === undefined ? [] : [`matches ${code(at('pattern') ?? '')}`]),
  ];
}

/** The message of a rule says what to write, which is what a reader wants to know as well. */
function validation(node: JsonObject): string {
  const items = objectAt(node, 'items');
  const leaf =
    items && objectAt(items, 'properties') === undefined ? limits(items).map(text => `each ${text}`) : [];
  const own = [...limits(node), ...leaf];
  const keys = node['x-kubernetes-list-map-keys'];
  if (Array.isArray(keys)) own.push(`unique by ${keys.map(key => code(scalar(key))).join(', ')}`);
  if (node['x-kubernetes-list-type'] === 'set') own.push('no item twice');
  const messages = [...rulesOf(node), ...(items ? rulesOf(items) : [])].map(rule => scalar(rule['message']));
  return [...new Set([...own, ...messages.map(cell)])].join('; ');
}

function defaultOf(node: JsonObject, required: boolean): string {
  if (required) return '**required**';
  const { default: value } = node;
  // What an object's default consists of stands with its fields.
  if (value === undefined || (isJsonObject(value) && objectAt(node, 'properties'))) return '';
  return code(JSON.stringify(value));
}

function rows(node: JsonObject, prefix: string): string[] {
  const required = Array.isArray(node['required']) ? node['required'] : [];
  const properties = objectAt(node, 'properties') ?? {};
  return Object.entries(properties).flatMap(([name, child]) => {
    if (!isJsonObject(child)) return [];
    const items = objectAt(child, 'items');
    const path = `${prefix}${name}${items ? '[]' : ''}`;
    const columns = [
      code(path),
      typeName(child),
      defaultOf(child, required.includes(name)),
      validation(child),
      cell(scalar(child['description'])),
    ];
    return [`| ${columns.join(' | ')} |`, ...rows(items ?? child, `${path}.`)];
  });
}

const header = '| field | type | default | validation | description |\n|---|---|---|---|---|';

function table(node: JsonObject): string {
  return `${header}\n${rows(node, '').join('\n')}`;
}

function rulesSection(title: string, messages: readonly string[]): string {
  return messages.length === 0 ? '' : `${title}\n\n${messages.map(message => `- ${message}`).join('\n')}\n\n`;
}

function section(kind: Kind): string {
  const { resource } = kind;
  const { spec, status } = schemasOf(kind);
  const wholeRules = [
    ...kind.rules.map(rule => rule.message),
    ...rulesOf(spec).map(rule => scalar(rule['message'])),
  ];
  const facts = [
    `\`kubectl get ${resource.plural}\`, short ${resource.shortNames.map(code).join(', ')}`,
    `subresources \`status\`${kind.scale ? ' and `scale`' : ''}`,
  ];
  return [
    `## ${resource.kind}\n`,
    `${kind.description} (${facts.join('; ')})\n`,
    `### ${resource.kind}.spec\n`,
    rulesSection('What the fields demand of each other:', [...new Set(wholeRules)]) + table(spec),
    `\n### ${resource.kind}.status\n`,
    `${table(status)}\n`,
  ].join('\n');
}

export function referenceFile(kinds: readonly Kind[]): string {
  const list = kinds.map(kind => `[${kind.resource.kind}](#${kind.resource.kind.toLowerCase()})`).join(', ');
  return `<!-- Generated from crds/api by \`make generate\`: change the schema there. -->

# API reference

Group and version \`${apiVersion}\`, category \`${category}\`: ${list}.

The API server checks everything on this page by itself, and what breaks a rule is refused with the text that stands here.
Fields that are not listed are refused by \`kubectl apply\`, too. A *quantity* is an amount such as \`500m\` or \`1Gi\`, a
*duration* a span of time such as \`300ms\` or \`30d\`.

${kinds.map(section).join('\n')}`;
}
