import { describe, expect, it } from 'vitest';
import { apiTest } from '#hack/api-test.ts';
import { ConfigMaps } from '#kernel/resources.ts';

const api = await apiTest();

describe('verbs', () => {
  it('creates and reads', async () => {
    const metadata = { name: 'a', namespace: api.namespace };
    await api.client.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { x: '1' } });
    expect((await api.client.get(ConfigMaps, metadata)).data).toEqual({ x: '1' });
  });
});
