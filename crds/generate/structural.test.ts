import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { text } from '../api/common.ts';
import { intOrString, withRules } from '../api/rules.ts';
import { structuralSchema } from './definition.ts';
import { StructuralSchemaError, toStructural } from './structural.ts';

interface Tree {
  readonly children: readonly Tree[];
}
const tree: z.ZodType<Tree> = z.object({
  children: z.lazy(() => z.array(tree).max(3)).describe('Those below.'),
});
const bounded = z.string().max(9);

function field(schema: z.ZodType) {
  const { properties } = structuralSchema(z.object({ a: schema.describe('A.') }), 'x');
  return properties;
}

describe('what a CRD cannot hold is refused, with its path and a remedy', () => {
  it.each([
    ['a schema that contains itself', tree, 'x', '$ref is not structural'],
    [
      'a schema with a name',
      z.object({ a: bounded.meta({ id: 'Name' }).describe('A.') }),
      'x',
      'definitions is not structural',
    ],
    [
      'a union of types',
      z.object({ a: z.union([bounded, z.boolean()]).describe('A.') }),
      'x.a',
      'anyOf with types',
    ],
    [
      'a tagged union',
      z.object({ a: z.discriminatedUnion('k', [z.object({ k: z.literal('x') })]).describe('A.') }),
      'x.a',
      'oneOf is not structural',
    ],
    [
      'an intersection',
      z.object({ a: z.intersection(bounded, bounded).describe('A.') }),
      'x.a',
      'allOf is not structural',
    ],
    ['anything at all', z.object({ a: z.unknown().describe('A.') }), 'x.a', 'has no single type'],
    ['unknown fields', z.looseObject({ a: bounded.describe('A.') }), 'x', 'takes unknown fields'],
    [
      'a look-ahead',
      z.object({ a: bounded.regex(/^(?!pg_)/).describe('A.') }),
      'x.a',
      'the pattern looks around',
    ],
    [
      'a look-behind',
      z.object({ a: bounded.regex(/(?<=a)b/).describe('A.') }),
      'x.a',
      'the pattern looks around',
    ],
    [
      'a back-reference',
      z.object({ a: bounded.regex(/(a)\1/).describe('A.') }),
      'x.a',
      'the pattern looks around',
    ],
    ['an endless string', z.object({ a: z.string().describe('A.') }), 'x.a', 'has no maxLength'],
    ['an endless list', z.object({ a: z.array(bounded).describe('A.') }), 'x.a', 'has no maxItems'],
    [
      'an endless map',
      z.object({ a: z.record(z.string(), bounded).describe('A.') }),
      'x.a',
      'has no maxProperties',
    ],
    [
      'an endless string in a list',
      z.object({ a: z.array(z.string()).max(2).describe('A.') }),
      'x.a[]',
      'has no maxLength',
    ],
    [
      'a field without a description',
      z.object({ a: z.object({ b: bounded }).describe('A.') }),
      'x.a.b',
      'has no description',
    ],
    [
      'an integer or a truth value',
      z.object({ a: intOrString(z.union([z.int(), z.boolean()])).describe('A.') }),
      'x.a',
      'is not an integer or a string',
    ],
  ])('%s', (_, schema, path, problem) => {
    const build = () => structuralSchema(schema, 'x');
    expect(build).toThrow(StructuralSchemaError);
    expect(build).toThrow(problem);
    expect(build).toThrow(new RegExp(`^${path.replaceAll('[', '\\[')}[:.]`));
  });

  it.each(['not', 'oneOf', 'if', 'const', 'propertyNames', 'uniqueItems', 'deprecated'])(
    'the keyword %s',
    keyword => {
      expect(() => toStructural({ type: 'string', maxLength: 1, [keyword]: true }, 'x')).toThrow(
        `x: ${keyword} is not structural`,
      );
    },
  );
});

describe('what it can hold', () => {
  it('leaves out bounds that only say how JavaScript counts', () => {
    expect(field(z.int())).toEqual({ a: { type: 'integer', format: 'int64', description: 'A.' } });
    expect(field(z.int().min(0).max(9))).toEqual({
      a: { type: 'integer', format: 'int32', minimum: 0, maximum: 9, description: 'A.' },
    });
  });

  it('gives an integer or a string no type, but the bounds of both', () => {
    expect(field(intOrString(z.union([z.int().min(0), z.string().min(1).max(8)]).transform(String)))).toEqual(
      {
        a: { 'x-kubernetes-int-or-string': true, minimum: 0, minLength: 1, maxLength: 8, description: 'A.' },
      },
    );
  });

  it('says with a rule what a pattern would say without words', () => {
    expect(field(text({ max: 3, pattern: /^[a-z]+$/, message: 'must be small' }))).toEqual({
      a: {
        type: 'string',
        maxLength: 3,
        description: 'A.',
        'x-kubernetes-validations': [{ rule: 'self.matches("^[a-z]+$")', message: 'must be small' }],
      },
    });
  });

  it('keeps rules through defaults and descriptions', () => {
    const rule = { rule: "self != 'a'", message: 'not a' };
    expect(field(withRules(bounded, rule).default('b').describe('first'))).toMatchObject({
      a: { default: 'b', 'x-kubernetes-validations': [rule] },
    });
  });

  it('spells out the default of an object, for rules are checked before the defaults below are filled in', () => {
    const inner = z.object({
      n: z.int().default(3).describe('N.'),
      m: z.int().exactOptional().describe('M.'),
    });
    expect(field(inner.prefault({}))).toMatchObject({ a: { default: { n: 3 } } });
  });
});
