/** What the API server refuses, with which words, and that nothing changes when it does. */
import { expect, it } from 'vitest';
import { apiTest } from '#hack/api-test.ts';
import { ApiError } from '#kernel/errors.ts';
import type { KubeObject } from '#kernel/object.ts';
import { defineResource } from '#kernel/resource.ts';
import { resources } from './api/names.ts';
import { changed, type Manifest, manifestIn, wrongManifests, wrongUpdates } from './testdata/cases.ts';

const api = await apiTest({ resources: Object.values(resources).map(resource => defineResource(resource)) });
await api.installCrds();

const resourceOf = (manifest: Manifest) => api.client.catalog.of(manifest);

function inNamespace(manifest: Manifest, namespace: string): KubeObject {
  return { ...manifest, metadata: { ...manifest.metadata, namespace } };
}

async function refusal(act: Promise<unknown>): Promise<string> {
  try {
    await act;
  } catch (error) {
    if (error instanceof ApiError && (error.status === 422 || error.status === 400)) return error.message;
    throw error;
  }
  return 'it was accepted';
}

for (const { base, cases } of await wrongManifests()) {
  it.each(cases)(`${base}: refuses $wrong`, async ({ change, says }) => {
    const manifest = changed(await manifestIn(base), change);
    const message = await refusal(
      api.client.create(inNamespace(manifest, api.namespace), { fieldValidation: 'Strict' }),
    );
    expect(message).toContain(says);
    expect((await api.client.list(resourceOf(manifest), { namespace: api.namespace })).items).toEqual([]);
  });
}

for (const { base, cases } of await wrongUpdates()) {
  const manifest = await manifestIn(base);
  const namespace = await api.createNamespace();
  const before = await api.client.create(inNamespace(manifest, namespace), { fieldValidation: 'Strict' });
  it.each(cases)(`${base}: refuses a change to $wrong`, async ({ change, says }) => {
    const patch = { type: 'merge', body: change } as const;
    const message = await refusal(api.client.patch(resourceOf(manifest), before.metadata, patch));
    expect(message).toContain(says);
    expect(await api.client.get(resourceOf(manifest), before.metadata)).toEqual(before);
  });
}
