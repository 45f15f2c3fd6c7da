import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { definitionOf } from './generate/definition.ts';
import { chartFile } from './generate/yaml.ts';
import { driftedFiles, generatedFiles } from './generate.ts';
import { kinds } from './kinds.ts';

const files = generatedFiles();

it('the generated files that are committed are those that would be generated now', async () => {
  expect(await driftedFiles(), 'run make generate').toEqual([]);
});

/** Every rule in a definition, wherever it stands. */
function rulesIn(node: unknown): readonly { rule: string; message: string }[] {
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([key, child]) =>
    key === 'x-kubernetes-validations' ? child : rulesIn(child),
  );
}

describe.each(kinds.map(kind => [kind.resource.kind, kind] as const))('%s', (_, kind) => {
  const definition = definitionOf(kind);

  it('has rules that speak to a person', () => {
    const rules = rulesIn(definition);
    expect(rules.length).toBeGreaterThan(0);
    for (const { message } of rules) {
      expect(message.length).toBeGreaterThan(8);
      // The API server demands one line.
      expect(message).not.toMatch(/\n/);
    }
  });

  it('is not taken for a template by Helm, and stays when the release goes', () => {
    const chart = files.get(`charts/shardwright/templates/crds/${kind.resource.plural}.yaml`) ?? '';
    const lines = chart.split('\n');
    expect(lines.filter(line => line.includes('{{'))).toEqual([
      lines[0],
      '{{- if .Values.crds.install }}',
      '{{- end }}',
    ]);
    const body = parse(lines.filter(line => !line.includes('{{')).join('\n'));
    expect(body.metadata.annotations).toEqual({ 'helm.sh/resource-policy': 'keep' });
    expect(body.spec).toEqual(definition['spec']);
  });

  it('has a section in the reference for every field of the spec', () => {
    const reference = files.get('docs/api-reference.md') ?? '';
    const start = reference.indexOf(`### ${kind.resource.kind}.spec`);
    const section = reference.slice(start, reference.indexOf(`### ${kind.resource.kind}.status`));
    const { properties } = JSON.parse(JSON.stringify(definition)).spec.versions[0].schema.openAPIV3Schema;
    for (const field of Object.keys(properties.spec.properties)) {
      expect(section).toMatch(new RegExp(`\`${field}(\\[\\])?\``));
    }
  });
});

it('a definition that Helm would take for a template is refused', () => {
  expect(() => chartFile({ metadata: { name: 'x' }, description: '{{ .Values }}' })).toThrow('{{');
});

it('short names are no one else’s', () => {
  const names = kinds.flatMap(({ resource }) => [resource.plural, resource.singular, ...resource.shortNames]);
  expect(new Set(names).size).toBe(names.length);
  // Taken by Kubernetes itself: StorageClass, Secret has none, StatefulSet, Service, ServiceAccount, ReplicaSet.
  for (const taken of ['sc', 'sts', 'svc', 'sa', 'rs', 'pv', 'pvc', 'cm', 'ep'])
    expect(names).not.toContain(taken);
});
