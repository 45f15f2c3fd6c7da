import { describe, expect, it } from 'vitest';
import { changed, manifestIn, manifestsIn, samplePaths } from '../testdata/cases.ts';
import { parsers } from '../testdata/parsers.ts';
import { ownedParameters } from './engine-spec.ts';
import { isPaused } from './names.ts';
import { InvalidObjectError } from './parse.ts';
import { partition } from './partition.ts';
import { parseShardCluster } from './shard-cluster.ts';

const social = await manifestIn('manifests/samples/social.yaml');

it.each(await samplePaths())('%s fits its schema, and parsing twice changes nothing', async path => {
  for (const manifest of await manifestsIn(path)) {
    const parse = parsers[manifest.kind];
    expect(parse).toBeTypeOf('function');
    const once = parse?.(manifest);
    expect(parse?.(once)).toEqual(once);
  }
});

describe('an object that does not fit', () => {
  it('is refused with its name, each problem, and a remedy', () => {
    const wrong = changed(social, { spec: { shards: 0, members: 'two' } });
    const parse = () => parseShardCluster(wrong);
    expect(parse).toThrow(InvalidObjectError);
    expect(parse).toThrow(
      expect.objectContaining({
        code: 'InvalidObject',
        message: expect.stringContaining('ShardCluster social'),
        problems: [expect.stringContaining('spec.shards:'), expect.stringContaining('spec.members:')],
        remedy: expect.stringContaining('CustomResourceDefinitions'),
      }),
    );
  });

  it.each([undefined, null, 'text', 7, [], {}])('is refused also when it is %j', value => {
    expect(() => parseShardCluster(value)).toThrow(InvalidObjectError);
  });
});

it('fields of another version are left out, not refused', () => {
  const newer = changed(social, { spec: { colour: 'red' }, metadata: { managedFields: [] } });
  const { spec, metadata } = parseShardCluster(newer);
  expect(spec).not.toHaveProperty('colour');
  expect(metadata).toEqual({ name: 'social' });
});

it('amounts and parameters are strings, however they were written', () => {
  const { spec } = parseShardCluster(changed(social, { spec: { storage: { size: 1_073_741_824 } } }));
  expect(spec.storage.size).toBe('1073741824');
  expect(spec.engine.parameters).toEqual({ shared_buffers: '32MB', max_connections: '100' });
});

it('the parameters that the operator owns are named once each', () => {
  expect(new Set(ownedParameters).size).toBe(ownedParameters.length);
});

describe('partition', () => {
  it('parses to exactly the fields of its kind', () => {
    const loose = { kind: 'directory', entries: ['7'], fallback: true, slots: 256 };
    expect(partition.parse(loose)).toEqual({ kind: 'directory', entries: ['7'], fallback: true });
  });

  it.each([
    [{ kind: 'slots', slots: 256 }, ['ranges']],
    [{ kind: 'slots', slots: 256, ranges: [{ first: 1 }] }, ['ranges', 0, 'last']],
    [{ kind: 'regions', slots: 256 }, ['regions']],
  ])('refuses %j at %j', (value, path) => {
    expect(partition.safeParse(value).error?.issues).toMatchObject([{ path }]);
  });
});

function paused(value?: string): boolean {
  return isPaused({
    metadata: value === undefined ? {} : { annotations: { 'shardwright.io/paused': value } },
  });
}

it('only the text "true" pauses', () => {
  expect([paused('true'), paused('false'), paused('yes'), paused()]).toEqual([true, false, false, false]);
});
