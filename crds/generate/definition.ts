/** One kind as a CustomResourceDefinition. */
import { z } from 'zod';
import { category, group, version } from '../api/names.ts';
import type { Kind } from '../kinds.ts';
import { type Json, type JsonObject, toStructural } from './structural.ts';

/** The structural schema of a zod schema, as what a person writes: fields with a default may be left out. */
export function structuralSchema(schema: z.ZodType, path: string): JsonObject {
  const json: unknown = z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input', reused: 'inline' });
  return toStructural(asJson(json), path);
}

// What comes out of zod may hold undefined and classes of its own; this is what a file would hold.
function asJson(value: unknown): Json {
  const json: Json = JSON.parse(JSON.stringify(value));
  return json;
}

/** The spec and the status of a kind. */
export function schemasOf(kind: Kind): { readonly spec: JsonObject; readonly status: JsonObject } {
  return {
    spec: { ...structuralSchema(kind.spec, 'spec'), description: 'What is wanted.' },
    status: { ...structuralSchema(kind.status, 'status'), description: 'What was found.' },
  };
}

export function definitionOf(kind: Kind): JsonObject {
  const { resource, columns, scale } = kind;
  const { spec, status } = schemasOf(kind);
  const root: JsonObject = {
    type: 'object',
    description: kind.description,
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string', description: 'Version of the API that the object is written for.' },
      kind: { type: 'string', description: 'What the object is.' },
      metadata: { type: 'object' },
      spec,
      status,
    },
    ...(kind.rules.length > 0 && { 'x-kubernetes-validations': asJson(kind.rules) }),
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${resource.plural}.${group}` },
    spec: {
      group,
      names: {
        kind: resource.kind,
        listKind: `${resource.kind}List`,
        plural: resource.plural,
        singular: resource.singular,
        shortNames: [...resource.shortNames],
        categories: [category],
      },
      scope: 'Namespaced',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: root },
          subresources: { status: {}, ...(scale !== undefined && { scale: { ...scale } }) },
          additionalPrinterColumns: asJson(columns),
        },
      ],
    },
  };
}
